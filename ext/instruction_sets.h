// Instruction sets that kernels are written for, and which of them this build has.
#ifndef EL_INSTRUCTION_SETS_H
#define EL_INSTRUCTION_SETS_H

enum { EL_AVX2 = 1, EL_AVX512 = 2, EL_NEON = 4 };

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#define EL_HAVE_X86 1
#endif
#if (defined(__GNUC__) || defined(__clang__)) && defined(__aarch64__)
#define EL_HAVE_NEON 1
#endif

#endif
