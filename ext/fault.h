// What is said before a bus error ends the process.
#ifndef ENGRAM_FAULT_H
#define ENGRAM_FAULT_H

// Write one line to stderr that names the file mapped at `address`, where the system can tell, and exit with 1. May be
// called in a signal handler.
void el_explain_fault(const void *address);

#endif
