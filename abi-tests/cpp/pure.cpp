// The function that a C++ library has for calls of pure virtual methods. Neither this program nor a
// driver has such a library.
extern "C" [[noreturn]] void __cxa_pure_virtual();
extern "C" [[noreturn]] void __cxa_pure_virtual() { __builtin_trap(); }
