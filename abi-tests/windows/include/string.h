/* A replacement for the C library's header, which comes with an SDK. The functions are ntdll.dll's.
 */
#ifndef NTCOM_ABI_WINDOWS_STRING_H
#define NTCOM_ABI_WINDOWS_STRING_H

#include <stddef.h>

#if defined(__cplusplus)
extern "C" {
#endif

void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);

#if defined(__cplusplus)
}
#endif

#endif
