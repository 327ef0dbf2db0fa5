/* The substitute for the WDK's ntifs.h and ntddk.h in `cargo xtask wdk-check`. It has mingw-w64's
 * headers, and declarations of what they lack, after the public documentation
 * (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/). These are not the WDK's declarations. */

/* mingw has inline functions for these, which bindgen leaves out. They get other names here, and
 * are declared below. */
#define KeGetCurrentIrql mingw_KeGetCurrentIrql
#define KeGetCurrentThread mingw_KeGetCurrentThread
#define KeInitializeSpinLock mingw_KeInitializeSpinLock
#define KeLowerIrql mingw_KeLowerIrql
#define KeRaiseIrqlToDpcLevel mingw_KeRaiseIrqlToDpcLevel
#define KfRaiseIrql mingw_KfRaiseIrql
#include "ntifs.h"
#include "ntddk.h"
#undef KeGetCurrentIrql
#undef KeGetCurrentThread
#undef KeInitializeSpinLock
#undef KeLowerIrql
#undef KeRaiseIrqlToDpcLevel
#undef KfRaiseIrql

NTKERNELAPI KIRQL NTAPI KeGetCurrentIrql(VOID);
NTKERNELAPI PKTHREAD NTAPI KeGetCurrentThread(VOID);
NTKERNELAPI VOID NTAPI KeInitializeSpinLock(PKSPIN_LOCK SpinLock);
NTKERNELAPI VOID NTAPI KeLowerIrql(KIRQL NewIrql);
NTKERNELAPI KIRQL NTAPI KeRaiseIrqlToDpcLevel(VOID);
NTKERNELAPI KIRQL NTAPI KfRaiseIrql(KIRQL NewIrql);

/* Functions that are newer than mingw's headers. wdk-sys itself has the POOL_FLAG_* constants. */
typedef ULONG64 POOL_FLAGS;
NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);
NTKERNELAPI ULONG64 NTAPI KeQueryInterruptTimePrecise(PULONG64 QpcTimeStamp);
NTKERNELAPI LOGICAL NTAPI KeShouldYieldProcessor(VOID);
