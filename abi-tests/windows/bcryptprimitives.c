/* Stands for a DLL of Windows that Wine 8 has not: Rust's standard library takes the seeds of its hash tables from there. These are no
 * random numbers, and none are needed: the same program does the same every time. */
__declspec(dllexport) int ProcessPrng(unsigned char *out, unsigned long long count);
int ProcessPrng(unsigned char *out, unsigned long long count) {
    for (unsigned long long i = 0; i < count; i++) {
        out[i] = (unsigned char)(0x5A + 37 * i);
    }
    return 1;
}
