//! Names of bug checks, the meanings of their parameters, and their public pages.

use super::numbers::{ABOVE_ITS_IRQL, NO_WAIT, POOL_FLAGS, SPIN_LOCK_HELD};

/// The description of a bug check, or of one value of its first parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) name: &'static str,
    /// The meanings of the four parameters.
    pub(crate) parameters: [&'static str; 4],
    /// The page under learn.microsoft.com/windows-hardware/drivers/debugger/.
    pub(crate) page: &'static str,
}

const CODE: &str = "address of the code, if known";
const ACCESS: &str = "0 read, 1 write, 8 execute";
const RESERVED: &str = "reserved";
const IRQL: &str = "current IRQL";
const LOCK: &str = "address of the spin lock";

/// The entry of a bug check with this code and these parameters.
pub(crate) fn entry(code: u32, parameters: [u64; 4]) -> Description {
    let [first, ..] = parameters;
    match code {
        0x0C => Description {
            name: "MAXIMUM_WAIT_OBJECTS_EXCEEDED",
            parameters: [RESERVED; 4],
            page: "bug-check-0xc--maximum-wait-objects-exceeded",
        },
        0x1E => Description {
            name: "KMODE_EXCEPTION_NOT_HANDLED",
            parameters: ["the exception", CODE, "parameter 0", "parameter 1"],
            page: "bug-check-0x1e--kmode-exception-not-handled",
        },
        0x3B => Description {
            name: "SYSTEM_SERVICE_EXCEPTION",
            parameters: ["the exception", CODE, "address of the context record", RESERVED],
            page: "bug-check-0x3b--system-service-exception",
        },
        0x50 => Description {
            name: "PAGE_FAULT_IN_NONPAGED_AREA",
            parameters: ["address referenced", "0 read, 2 write, 0x10 execute", CODE, RESERVED],
            page: "bug-check-0x50--page-fault-in-nonpaged-area",
        },
        0x7E => Description {
            name: "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
            parameters: [
                "the exception",
                CODE,
                "address of the exception record",
                "address of the context record",
            ],
            page: "bug-check-0x7e--system-thread-exception-not-handled",
        },
        0x7F => Description {
            name: "UNEXPECTED_KERNEL_MODE_TRAP",
            parameters: ["8: double fault", RESERVED, RESERVED, RESERVED],
            page: "bug-check-0x7f--unexpected-kernel-mode-trap",
        },
        0xBE => Description {
            name: "ATTEMPTED_WRITE_TO_READONLY_MEMORY",
            parameters: ["address referenced", "page table entry, if known", RESERVED, RESERVED],
            page: "bug-check-0xbe--attempted-write-to-readonly-memory",
        },
        0xFC => Description {
            name: "ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY",
            parameters: ["address referenced", "page table entry, if known", RESERVED, RESERVED],
            page: "bug-check-0xfc--attempted-execute-of-noexecute-memory",
        },
        0xB8 => Description {
            name: "ATTEMPTED_SWITCH_FROM_DPC",
            parameters: [
                "address of the thread",
                "address of the new thread",
                "address of the stack",
                RESERVED,
            ],
            page: "bug-check-0xb8--attempted-switch-from-dpc",
        },
        0x4000_008A => Description {
            name: "THREAD_TERMINATE_HELD_MUTEX",
            parameters: ["address of the thread", "address of the mutex", RESERVED, RESERVED],
            page: "bug-check-0x4000008a--thread-terminate-held-mutex",
        },
        0x0A => Description {
            name: "IRQL_NOT_LESS_OR_EQUAL",
            parameters: ["address referenced", IRQL, ACCESS, CODE],
            page: "bug-check-0xa--irql-not-less-or-equal",
        },
        0xC1 => Description {
            name: "SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION",
            parameters: [
                "address of the block",
                "address of the corrupted byte",
                RESERVED,
                "the place of the corruption: 0x23 before, 0x24 behind the block",
            ],
            page: "bug-check-0xc1--special-pool-detected-memory-corruption",
        },
        0xC2 => Description {
            name: "BAD_POOL_CALLER",
            parameters: match first {
                0x07 => ["0x7: freed twice", RESERVED, "the block's tag", "address of the block"],
                0x9B => ["0x9B: tag of zero", "pool type", "number of bytes", CODE],
                0x0A => [
                    "0xA: wrong tag",
                    "address of the block",
                    "tag it was allocated with",
                    "tag it is freed with",
                ],
                _ => ["0x46: not the address of a block", "address", "0", "0"],
            },
            page: "bug-check-0xc2--bad-pool-caller",
        },
        0xC4 => Description {
            name: "DRIVER_VERIFIER_DETECTED_VIOLATION",
            parameters: verifier(parameters),
            page: "bug-check-0xc4--driver-verifier-detected-violation",
        },
        0xC7 => Description {
            name: "TIMER_OR_DPC_INVALID",
            parameters: match first {
                0 => [
                    "0: timer object",
                    "address of the timer",
                    "start of the memory checked",
                    "end of the memory checked",
                ],
                1 => [
                    "1: DPC object",
                    "address of the DPC",
                    "start of the memory checked",
                    "end of the memory checked",
                ],
                2 => [
                    "2: DPC routine",
                    "address of the routine",
                    "start of the memory checked",
                    "end of the memory checked",
                ],
                _ => [
                    "3: processor of a DPC",
                    "address of the DPC",
                    "processor number",
                    "number of processors",
                ],
            },
            page: "bug-check-0xc7--timer-or-dpc-invalid",
        },
        0xC8 => Description {
            name: "IRQL_UNEXPECTED_VALUE",
            parameters: ["current IRQL << 16 | expected IRQL << 8 | 2", "0", "0", "0"],
            page: "bug-check-0xc8--irql-unexpected-value",
        },
        0xCC => Description {
            name: "PAGE_FAULT_IN_FREED_SPECIAL_POOL",
            parameters: ["address referenced", "0 read, 1 write", CODE, RESERVED],
            page: "bug-check-0xcc--page-fault-in-freed-special-pool",
        },
        0xCD => Description {
            name: "PAGE_FAULT_BEYOND_END_OF_ALLOCATION",
            parameters: ["address referenced", "0 read, 1 write", CODE, RESERVED],
            page: "bug-check-0xcd--page-fault-beyond-end-of-allocation",
        },
        0xCE => Description {
            name: "DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS",
            parameters: ["address of the pending object", "0 read, 1 write", CODE, RESERVED],
            page: "bug-check-0xce--driver-unloaded-without-cancelling-pending-operations",
        },
        0xD1 => Description {
            name: "DRIVER_IRQL_NOT_LESS_OR_EQUAL",
            parameters: ["address referenced", IRQL, ACCESS, CODE],
            page: "bug-check-0xd1--driver-irql-not-less-or-equal",
        },
        0x35 => Description {
            name: "NO_MORE_IRP_STACK_LOCATIONS",
            parameters: ["address of the IRP", RESERVED, RESERVED, RESERVED],
            page: "bug-check-0x35--no-more-irp-stack-locations",
        },
        0x44 => Description {
            name: "MULTIPLE_IRP_COMPLETE_REQUESTS",
            parameters: ["address of the IRP", RESERVED, RESERVED, RESERVED],
            page: "bug-check-0x44--multiple-irp-complete-requests",
        },
        0xC9 => Description {
            name: "DRIVER_VERIFIER_IOMANAGER_VIOLATION",
            parameters: match first {
                5 => [
                    "5: IRQL changed in a dispatch routine",
                    "address of the device",
                    "IRQL before",
                    "IRQL after",
                ],
                6 => ["6: completed as pending", "status", "address of the IRP", "0"],
                7 => [
                    "7: completed with a cancel routine",
                    "address of the routine",
                    "address of the IRP",
                    "0",
                ],
                0x0E => ["0xE: completed above DISPATCH_LEVEL", IRQL, "address of the IRP", "0"],
                0x10 => ["0x10: sent above DISPATCH_LEVEL", IRQL, RESERVED, RESERVED],
                4 => ["4: not a device", "address", "0", "0"],
                0..0x200 => ["kind of violation", "address of the IRP", "0", "0"],
                _ => ["kind of violation", CODE, "address of the IRP", "0"],
            },
            page: "bug-check-0xc9--driver-verifier-iomanager-violation",
        },
        0xE1 => Description {
            name: "WORKER_THREAD_RETURNED_AT_BAD_IRQL",
            parameters: [
                "address of the routine",
                "IRQL",
                "parameter of the routine",
                "address of the work item",
            ],
            page: "bug-check-0xe1--worker-thread-returned-at-bad-irql",
        },
        0xE4 => Description {
            name: "WORKER_INVALID",
            parameters: match first {
                0 => {
                    ["0: queued item freed", "address of the item", "start of the block", "end of the block"]
                }
                1 => ["1: queued item queued again", "address of the item", "queue", "0"],
                2 => ["2: queued I/O item freed", "address of the item", "address of the routine", "0"],
                3 => ["3: item without a valid object", "address of the item", "address of the object", "0"],
                6 => ["6: not a queue", "address of the item", "queue", "0"],
                _ => ["7: not a work item, or no routine", "address of the item", "queue", "0"],
            },
            page: "bug-check-0xe4--worker-invalid",
        },
        0x133 => Description {
            name: "DPC_WATCHDOG_VIOLATION",
            parameters: match first {
                0 => ["0: a single DPC", "its time in ticks", "time allotted in ticks", RESERVED],
                _ => ["1: cumulative time in DPCs", "time allotted in ticks", RESERVED, RESERVED],
            },
            page: "bug-check-0x133-dpc-watchdog-violation",
        },
        0x139 => Description {
            name: "KERNEL_SECURITY_CHECK_FAILURE",
            parameters: [
                "the failed check (3 list entry, 5 argument, 7 fatal exit, 14 reference count)",
                "address of the trap frame",
                "address of the exception record",
                RESERVED,
            ],
            page: "bug-check-0x139--kernel-security-check-failure",
        },
        _ => Description {
            name: "raised by the driver",
            parameters: ["parameter 1", "parameter 2", "parameter 3", "parameter 4"],
            page: "bug-check-code-reference2",
        },
    }
}

/// The meanings of the parameters of bug check 0xC4, by the first one.
fn verifier([first, ..]: [u64; 4]) -> [&'static str; 4] {
    match first {
        0x00 => ["0x0: zero bytes", IRQL, "pool type (0 non-paged, 1 paged)", "number of bytes"],
        0x01 => ["0x1: paged pool allocated above APC_LEVEL", IRQL, "pool type", "number of bytes"],
        0x02 => ["0x2: non-paged pool allocated above DISPATCH_LEVEL", IRQL, "pool type", "number of bytes"],
        0x11 => ["0x11: paged pool freed above APC_LEVEL", IRQL, "pool type", "address of the block"],
        0x12 => {
            ["0x12: non-paged pool freed above DISPATCH_LEVEL", IRQL, "pool type", "address of the block"]
        }
        0x30 => ["0x30: raise to a lower IRQL, or not to an IRQL", IRQL, "requested IRQL", "0"],
        0x31 => [
            "0x31: lower to a higher IRQL, or not to an IRQL",
            IRQL,
            "requested IRQL",
            "1: not allowed in a DPC routine",
        ],
        0x32 => ["0x32: KeReleaseSpinLock not at DISPATCH_LEVEL", IRQL, LOCK, "0"],
        0x3B => [
            "0x3B: wait at DISPATCH_LEVEL or above",
            IRQL,
            "address of the object",
            "address of the time-out",
        ],
        0x3C => ["0x3C: not an open handle", "handle", RESERVED, RESERVED],
        0x3F => [
            "0x3F: object without references",
            "address of the object",
            "1: referenced, -1: dereferenced",
            RESERVED,
        ],
        0x80 => ["0x80: KeSetEvent above DISPATCH_LEVEL", IRQL, "address of the event", RESERVED],
        0x40 => ["0x40: KeAcquireSpinLockAtDpcLevel below DISPATCH_LEVEL", IRQL, LOCK, "0"],
        0x41 => ["0x41: KeReleaseSpinLockFromDpcLevel below DISPATCH_LEVEL", IRQL, LOCK, "0"],
        0x42 => ["0x42: spin lock acquired above DISPATCH_LEVEL", IRQL, LOCK, "0"],
        0x62 => {
            ["0x62: pool leaked at unload", "name of the driver", RESERVED, "allocations that were not freed"]
        }
        0xDC => ["0xDC: EtwUnregister without a valid handle", RESERVED, RESERVED, RESERVED],
        0xDD => [
            "0xDD: unloaded without EtwUnregister",
            "address of the call to EtwRegister, if known",
            "address of the driver",
            "the handle",
        ],
        0xE5 => ["0xE5: called at a wrong IRQL", IRQL, RESERVED, RESERVED],
        0x1000 => ["0x1000: self-deadlock", LOCK, RESERVED, RESERVED],
        0x1002 => ["0x1002: lock not initialised", LOCK, RESERVED, RESERVED],
        0x1004 => ["0x1004: released by another", LOCK, "processor that acquired it", "current processor"],
        0x1005 => ["0x1005: initialised while held", LOCK, RESERVED, RESERVED],
        0x1006 => ["0x1006: ended while holding a lock", LOCK, "processor that acquired it", RESERVED],
        0x1007 => ["0x1007: released, but not held", LOCK, RESERVED, RESERVED],
        SPIN_LOCK_HELD => {
            ["0x4E530001: called while holding a spin lock", LOCK, "processor that holds it", RESERVED]
        }
        ABOVE_ITS_IRQL => {
            ["0x4E530002: called above the IRQL that its page states", IRQL, "highest IRQL", RESERVED]
        }
        NO_WAIT => ["0x4E530004: no wait after Wait = TRUE", IRQL, "IRQL before the release", RESERVED],
        POOL_FLAGS => ["0x4E530003: flags that yield NULL", "the flags", "number of bytes", "the tag"],
        _ => ["kind of violation", "parameter 2", "parameter 3", "parameter 4"],
    }
}
