// What a C++ library has for calls of methods that nobody implements: there is no library here, as there is none in a driver.
extern "C" [[noreturn]] void __cxa_pure_virtual();
extern "C" [[noreturn]] void __cxa_pure_virtual() { __builtin_trap(); }
