/*
 * ntcom_kit.h: what an implementation of async COM exports to be judged by the conformance kit, for C11 and C++17.
 *
 * A shared library exports one function, ntcom_kit, that returns its table. The kit loads the library into a process of its own, makes
 * operations through the table, uses them through the interfaces of ntcom.h as any client may, and judges what it sees by the contract's
 * rules, C1 to C21 (docs/abi-contract.md). docs/conformance.md tells how to begin.
 *
 * What is needed. The members up to `waker_drop` are required. Of what follows, a group that a library leaves null is not offered, and the
 * clauses that need it are reported as "not offered", never as passed. A member that lies beyond the table's `size` is null.
 *
 * One thread. But for the cases of threads, which are for libraries whose `threads` is not 0, everything happens on the thread that called
 * `run`, between its call and its return, and inside of the program that it was given. The library runs bodies inside of `advance` only (and of
 * `drain` and `at_passive_level`): not in the background, and not on the stack of a slot, which [C9] forbids where they count, and this header
 * everywhere. So there is one right answer to every step, and the kit needs no clock.
 *
 * IAsyncControl. All operations of a library have it, or none has: then what needs it is reported
 * as "not offered", and what is to be cancelled is cancelled by its handle.
 *
 * Who the caller is. Functions of the table are called by the kit; those of a recipe and completion handlers are the kit's, called by the
 * library. All but the slots of interfaces and completion handlers have the platform's C calling convention.
 */
#ifndef NTCOM_KIT_H
#define NTCOM_KIT_H

#include <ntcom.h>

/* The version of this header. A table of another version is refused. */
#define NTCOM_KIT_VERSION 1u

#if defined(__GNUC__) || defined(__clang__)
#define NTCOM_KIT_EXPORT __attribute__((visibility("default")))
#else
#define NTCOM_KIT_EXPORT
#endif

#if defined(__cplusplus)
extern "C" {
#endif

/* ---- Values. An operation's T, by number: each is made of bytes that the kit gives. ---- */

enum ntcom_kit_kind {
    NTCOM_KIT_UNIT = 0,    /* the empty type: 0 bytes, get_result writes nothing */
    NTCOM_KIT_U8 = 1,      /* uint8_t */
    NTCOM_KIT_U64 = 2,     /* uint64_t */
    NTCOM_KIT_PADDED = 3,  /* struct ntcom_kit_padded; get_result leaves its padding zero [C5] */
    NTCOM_KIT_ALIGNED = 4, /* 64 bytes, aligned to 64 */
    NTCOM_KIT_PAGE = 5     /* 4096 bytes, aligned to 1 */
};

struct ntcom_kit_padded {
    uint8_t byte;
    uint32_t word;
};
NTCOM_STATIC_ASSERT(sizeof(struct ntcom_kit_padded) == 8, "three bytes of padding");

/* The size of a kind's T. */
NTCOM_INLINE uint32_t ntcom_kit_size(uint32_t kind) {
    static const uint32_t sizes[] = {0, 1, 8, 8, 64, 4096};
    return kind < sizeof sizes / sizeof sizes[0] ? sizes[kind] : 0;
}

/* ---- Bodies: the work of an operation. ---- */

/*
 * How a body is put together from parts, as a bit for ntcom_kit_table.shapes. A main that is guarded by a cleanup is dropped when it
 * unwinds [C10]: its cleanup is run, and it has no value. A try_finally runs its cleanup in any case, an on_cancel only then.
 */
#define NTCOM_KIT_PLAIN 1u       /* part 0 */
#define NTCOM_KIT_TRY_FINALLY 2u /* guard 0: main part 0, cleanup part 1, try_finally */
#define NTCOM_KIT_ON_CANCEL 4u   /* guard 0: main part 0, cleanup part 1, on_cancel */
#define NTCOM_KIT_NESTED 8u      /* guard 1: main (guard 0: main part 0, cleanup part 1; then part 2), cleanup part 3; try_finally both */
#define NTCOM_KIT_JOIN 16u       /* guard 0: parts 0 and 1, guard 1: parts 2 and 3; try_finally both, polled in turn until both ended */

/* What `poll` answers. */
#define NTCOM_KIT_PENDING 0 /* the part has not ended */
#define NTCOM_KIT_READY 1   /* it has: it is not polled again */
#define NTCOM_KIT_RAISE 2   /* raise an exception, or panic: only where the table's `raises` is not 0 */

/* ntcom_kit_recipe.flags: `finish` may answer a failure. Only where the table's `fails` is not 0. */
#define NTCOM_KIT_MAY_FAIL 1u

/*
 * A body. The library copies the recipe.
 *
 * A body is polled once when its operation has been made, and once for all the wakes since its last poll began, a request for
 * cancellation among them; so how often it is polled is determined, and the kit counts.
 */
struct ntcom_kit_recipe {
    uint32_t size;  /* sizeof(struct ntcom_kit_recipe) */
    uint32_t kind;  /* enum ntcom_kit_kind: the operation's T */
    uint32_t shape; /* one NTCOM_KIT_PLAIN, ... that the table offers */
    uint32_t flags;
    void *context; /* given to each of: */
    /* A poll of the body begins: before its parts are polled. */
    void (*begin)(void *context);
    /* Polls a part. `task` is the body's task, for the functions task_... of the table, until it returns. */
    int32_t (*poll)(void *context, uint32_t part, void *task);
    /* A guard has ended: not 0 if its main had a value. For a join: both, when both have ended. */
    void (*guarded)(void *context, uint32_t guard, int32_t has_value);
    /* All parts have ended: the body ends, in the same poll. STATUS_SUCCESS: `value`, of the kind's
     * size, holds the value, and something other than zeros in its padding. With NTCOM_KIT_MAY_FAIL
     * another status: it failed with it [C20], and `value` is not written. */
    NTSTATUS (*finish)(void *context, void *value);
    /* The body is dropped: once, before the terminal status is visible [C8]. */
    void (*drop)(void *context);
};

/* ---- What a run that was stopped says. ---- */

struct ntcom_kit_stop {
    uint32_t size; /* sizeof(struct ntcom_kit_stop), set by the kit */
    uint32_t bug_check;  /* its code, or 0 */
    uint64_t parameter;  /* its first parameter */
    char text[2048];     /* UTF-8, ends with 0 */
};

/* What each of several threads runs. Number 0 calls `advance`; the others use slots and wakers. Whoever waits for another thread calls `pause`,
 * which lets the others go on. */
typedef void (*ntcom_kit_thread)(void *context, uint32_t number, void (*pause)(void));

/* ---- The table ---- */

struct ntcom_kit_table {
    uint32_t size;    /* sizeof(struct ntcom_kit_table) */
    uint32_t version; /* NTCOM_KIT_VERSION */
    const char *name; /* of the implementation, UTF-8 */

    uint32_t shapes; /* the shapes that it offers; NTCOM_KIT_PLAIN is one of them */
    uint32_t fails;  /* not 0: bodies may fail [C20] */
    uint32_t raises; /* not 0: bodies may raise, which is to fail fast [C12]. Where that is the end of the process, it is the end. */
    uint32_t level;  /* with `irql`: the IRQL that bodies run at [C13] */
    /* Not 0: slots, wakers and handles may be used by several threads at once, while one of them runs `advance`. Whose threads they are
     * `run_at_once` and `run_in_turn` say. */
    uint32_t threads;
    uint32_t reserved; /* 0 */

    /* Runs a program to its end: one for each case. Before it and after it the library is as when it was loaded. 0: it ended. Else the
     * library stopped it, for a reason that it gives; or it found something wrong at its end, such as memory that is left. */
    int32_t (*run)(void (*program)(void *context), void *context, struct ntcom_kit_stop *stop);
    /* Runs bodies until there is nothing to do. It returns even if bodies wait. */
    void (*advance)(void);
    /* A new operation, which a completion handler may make, too: its IAsyncOperation, with one
     * reference, never null [C11]. With `handle`, if that is not null, a cancel handle of it, or
     * null where there are no handles. */
    void *(*spawn)(const struct ntcom_kit_recipe *recipe, void **handle);
    /* One that failed with this status before it began [C7, C11]. */
    void *(*spawn_error)(uint32_t kind, NTSTATUS status);

    /* For bodies, in a poll. Is there a request for cancellation? Is there one, and it is taken [C10]? */
    int32_t (*task_is_cancelled)(void *task);
    int32_t (*task_take_cancellation)(void *task);
    /* Wakes itself. */
    void (*task_wake)(void *task);
    /* A waker, which keeps the operation's memory. From then on `task` is not needed for it. Anybody may use it. */
    void *(*task_waker)(void *task);
    void *(*waker_clone)(void *waker);
    void (*waker_wake)(void *waker);        /* and drops it */
    void (*waker_wake_by_ref)(void *waker); /* and keeps it */
    void (*waker_drop)(void *waker);

    /* ---- From here on a null member is not offered. ---- */

    /* Cancel handles [C9]: cancels as IAsyncControl does; a new one of the same operation; drops it. */
    void (*handle_cancel)(void *handle);
    void *(*handle_clone)(void *handle);
    void (*handle_drop)(void *handle);

    /* The next operation finds no memory [C11]. */
    void (*fail_next_allocation)(void);
    /* How many operations there is memory for: an operation counts as long as any part of it is
     * left; the constant one does not. [C3, C9] */
    uint64_t (*live_operations)(void);
    /* How many allocations there have ever been [C13]. */
    uint64_t (*allocations)(void);
    /* The current IRQL [C13]. */
    uint32_t (*irql)(void);
    /* Sets the reference count of an operation to the highest that AddRef may leave, for a test of overflow [C3]. */
    void (*exhaust_references)(void *operation);

    /* An object with an IUnknown, one reference; `dropped` is called when it is gone. And an operation whose body is a method's of
     * that object [C19]. */
    void *(*object)(void (*dropped)(void *context), void *context);
    void *(*object_spawn)(void *object, const struct ntcom_kit_recipe *recipe);

    /* An unloading provider [C18]: refuses new operations; asks for the cancellation of all; waits until they have ended, bodies running
     * meanwhile. */
    void (*close)(void);
    void (*cancel_all)(void);
    void (*drain)(void);

    /* A client that distrusts [C17]. `client_result`: what it makes of a foreign operation whose value is of this kind, which is not
     * NTCOM_KIT_UNIT: `out`, of its size, is written for STATUS_SUCCESS only. The caller's reference stays the caller's. `client_status`:
     * the status, in *out for STATUS_SUCCESS. `client_query`: whether it takes the object for an operation of this kind. */
    NTSTATUS (*client_result)(void *operation, uint32_t kind, void *out);
    NTSTATUS (*client_status)(void *operation, uint32_t kind, ntcom_AsyncStatus *out);
    NTSTATUS (*client_query)(void *unknown, uint32_t kind);

    /* As `spawn`, where there is no executor [C21]. */
    void *(*spawn_without_executor)(const struct ntcom_kit_recipe *recipe);

    /* Calls `what` at PASSIVE_LEVEL, where IAsyncControl's `wait` waits [C15]; bodies may run in here. */
    void (*at_passive_level)(void (*what)(void *context), void *context);

    /* Threads; only where `threads` is not 0. */

    /* As `run`, with `count` threads of the library's that all go on at once, each of which calls the program with its number. Null: the kit
     * starts threads of its own, inside of `run`. */
    int32_t (*run_at_once)(uint32_t count, ntcom_kit_thread program, void *context, struct ntcom_kit_stop *stop);
    /* As `run_at_once`, one thread at a time: which of them goes on, wherever another one may come in between, is decided by `schedule`
     * alone. The same number is the same run, so that what is found repeats itself. Bodies may also run on the stack of any of the threads,
     * as an interrupt does. */
    int32_t (*run_in_turn)(uint32_t count, uint64_t schedule, ntcom_kit_thread program, void *context, struct ntcom_kit_stop *stop);
    /* What does instead of `run_in_turn`, with threads of the kit's, inside of `run`: from now on the library calls `yield` wherever
     * another thread may come in between, such as before it takes a lock and between accesses that no lock guards; and while it holds no
     * lock. The kit lets one thread go on at a time, and changes there. Null: from now on it calls nothing. */
    void (*yield_with)(void (*yield)(void));

    /* Bodies that wait. */

    /* As `spawn`, with a body that runs and is dropped at PASSIVE_LEVEL [C13]. In its `poll` the kit
     * calls slots, as the body's own code may: `wait` among them [C15], in which other bodies may
     * run, and whose time passes inside of `advance`. */
    void *(*spawn_passive)(const struct ntcom_kit_recipe *recipe);
    /* Called by such a body in its `poll`: what a drain answers there, which would wait for the
     * body itself [C18]. */
    NTSTATUS (*drain_in_body)(void);
};

/* What the library exports. The table stays where it is. */
NTCOM_KIT_EXPORT const struct ntcom_kit_table *ntcom_kit(void);

#if defined(__cplusplus)
} /* extern "C" */
#endif

#endif /* NTCOM_KIT_H */
