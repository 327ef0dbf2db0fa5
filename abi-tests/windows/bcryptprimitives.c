/* A replacement for a DLL of Windows that Wine 8 lacks. Rust's standard library takes the seeds of
 * its hash tables from it. The numbers are not random, and need not be, because the same program
 * should do the same every time. */
__declspec(dllexport) int ProcessPrng(unsigned char *out, unsigned long long count);
int ProcessPrng(unsigned char *out, unsigned long long count) {
    for (unsigned long long i = 0; i < count; i++) {
        out[i] = (unsigned char)(0x5A + 37 * i);
    }
    return 1;
}
