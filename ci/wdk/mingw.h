/* What stands for the WDK's ntifs.h and ntddk.h in `cargo xtask wdk-check`: mingw-w64's, with what they lack declared after
 * the public documentation (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/). These are not the WDK's declarations. */

/* mingw makes inline functions of these, which bindgen leaves out: out of the way, and declared below. */
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

/* Newer than mingw's headers. wdk-sys itself has the POOL_FLAG_* constants. */
typedef ULONG64 POOL_FLAGS;
NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);
NTKERNELAPI ULONG64 NTAPI KeQueryInterruptTimePrecise(PULONG64 QpcTimeStamp);
NTKERNELAPI LOGICAL NTAPI KeShouldYieldProcessor(VOID);
