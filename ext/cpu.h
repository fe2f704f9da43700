// Which instruction sets the CPU has, which are switched on, and with them the choice among the kernels.
#ifndef EL_CPU_H
#define EL_CPU_H

int el_cpu_detected(void); // bits of instruction_sets.h that this CPU and this build both have
int el_cpu_enabled(void);  // the subset that kernels are chosen from; all of them until el_cpu_enable
void el_cpu_enable(int features); // choose again; not while other threads gather or hash

#endif
