/* The entry point of a client program (c/program.c) on Windows. */
#include "factories.h"

#if defined(ABI_CPP)
#define PROGRAM abi_cpp_program
#else
#define PROGRAM abi_c_program
#endif

#if defined(_MSC_VER)
/* Without a C library, Windows calls this entry point, which must not return. */
__declspec(dllimport) __declspec(noreturn) void RtlExitUserProcess(uint32_t code);

/* A symbol that MSVC's compilers expect of the library in code with floating-point numbers. */
int _fltused = 0x9875;

void start(void);
void start(void) { RtlExitUserProcess((uint32_t)PROGRAM()); }
#else
int main(void) { return PROGRAM(); }
#endif
