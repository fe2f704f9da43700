// Instruction sets that this build has kernels for, which of them the CPU has, and which are switched on.
#ifndef EL_CPU_H
#define EL_CPU_H

enum { EL_AVX2 = 1, EL_AVX512 = 2, EL_NEON = 4 };

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#define EL_HAVE_X86 1
#endif
#if (defined(__GNUC__) || defined(__clang__)) && defined(__aarch64__)
#define EL_HAVE_NEON 1
#endif

int el_cpu_detected(void); // bits of the features that this CPU and this build both have
int el_cpu_enabled(void);  // the subset that kernels are chosen from; all of them until el_cpu_enable
void el_cpu_enable(int features); // choose again; not while other threads gather or hash

#endif
