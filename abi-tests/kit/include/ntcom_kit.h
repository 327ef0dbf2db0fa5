/*
 * ntcom_kit.h, for C11 and C++17: the exports of an implementation of async COM for the conformance
 * kit.
 *
 * A shared library exports one function, ntcom_kit, which returns its table. The kit loads the
 * library into a process of its own. It makes operations through the table and uses them through
 * the interfaces of ntcom.h, as any client may. It judges them by the contract's rules, C1 to C21
 * (docs/abi-contract.md). docs/conformance.md explains how to begin.
 *
 * Members. The members up to `waker_drop` are required. The others are in groups. A group that is
 * null is not offered, and the clauses that need it are reported as "not offered", never as passed.
 * A member beyond the table's `size` counts as null.
 *
 * One thread. The cases of threads are for libraries with a `threads` other than 0. In all other
 * cases everything happens on the thread that called `run`, during that call and inside of its
 * program. The library runs bodies only inside of `advance`, `drain` and `at_passive_level`. It
 * does not run them in the background, nor on the stack of a slot. [C9] forbids that for clients'
 * references, and this header forbids it everywhere. So every step has one right answer, and the
 * kit needs no clock.
 *
 * IAsyncControl. Either all operations of a library have it, or none. In a library without it,
 * cases that need it are reported as "not offered", and handles cancel the operations.
 *
 * Callers. The kit calls the functions of the table. The library calls the functions of a recipe
 * and completion handlers, which are the kit's. All functions except the slots of interfaces and
 * completion handlers have the platform's C calling convention.
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

/* ---- Values. A number stands for an operation's T. The kit gives the bytes of each value. ---- */

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
 * The ways in which a body is put together from parts, as bits for ntcom_kit_table.shapes. A
 * cleanup guards a main. A main that unwinds is dropped [C10], its cleanup is run, and it has no
 * value. A try_finally always runs its cleanup, and an on_cancel only if its main unwinds.
 *
 * NESTED has two guards, both a try_finally. Guard 0 has main part 0 and cleanup part 1. Guard 1
 * has a main that consists of guard 0 and then part 2, and cleanup part 3.
 *
 * JOIN has two guards, both a try_finally, that are polled in turn until both have ended. Guard 0
 * has main part 0 and cleanup part 1. Guard 1 has main part 2 and cleanup part 3.
 */
#define NTCOM_KIT_PLAIN 1u       /* part 0 */
#define NTCOM_KIT_TRY_FINALLY 2u /* guard 0: main part 0, cleanup part 1, try_finally */
#define NTCOM_KIT_ON_CANCEL 4u   /* guard 0: main part 0, cleanup part 1, on_cancel */
#define NTCOM_KIT_NESTED 8u      /* one try_finally in the main of another */
#define NTCOM_KIT_JOIN 16u       /* two try_finally, polled in turn */

/* The answers of `poll`. */
#define NTCOM_KIT_PENDING 0 /* the part has not ended */
#define NTCOM_KIT_READY 1   /* the part has ended, and must not be polled again */
#define NTCOM_KIT_RAISE 2   /* raise an exception, or panic, if the table's `raises` is not 0 */

/* ntcom_kit_recipe.flags. `finish` may answer a failure. Only if the table's `fails` is not 0. */
#define NTCOM_KIT_MAY_FAIL 1u

/*
 * A body. The library copies the recipe.
 *
 * The library polls a body once when its operation has been made. After that it polls the body once
 * for all the wakes since its last poll began, including a request for cancellation. So the number
 * of polls is determined, and the kit counts them.
 */
struct ntcom_kit_recipe {
    uint32_t size;  /* sizeof(struct ntcom_kit_recipe) */
    uint32_t kind;  /* the operation's T, of enum ntcom_kit_kind */
    uint32_t shape; /* one NTCOM_KIT_PLAIN, ... that the table offers */
    uint32_t flags;
    void *context; /* the argument of the functions below */
    /* A poll of the body begins. The library calls this before it polls the parts. */
    void (*begin)(void *context);
    /* Polls a part. `task` is the body's task, for the table's task_... functions, until this
     * returns. */
    int32_t (*poll)(void *context, uint32_t part, void *task);
    /* A guard has ended. `has_value` is not 0 if its main had a value. For a join the library calls
     * this for both guards, when both have ended. */
    void (*guarded)(void *context, uint32_t guard, int32_t has_value);
    /* All parts have ended, and the body ends in the same poll. With STATUS_SUCCESS, `value` holds
     * the value, in the kind's size, with bytes other than zero in its padding. With
     * NTCOM_KIT_MAY_FAIL another status is the failure [C20], and `value` is not written. */
    NTSTATUS (*finish)(void *context, void *value);
    /* The body is dropped. The library calls this once, before the terminal status is visible [C8].
     */
    void (*drop)(void *context);
};

/* ---- The reason of a stopped run. ---- */

struct ntcom_kit_stop {
    uint32_t size; /* sizeof(struct ntcom_kit_stop), set by the kit */
    uint32_t bug_check;  /* the bug check's code, or 0 */
    uint64_t parameter;  /* the bug check's first parameter */
    char text[2048];     /* UTF-8, null-terminated */
};

/* The program of each of several threads. Thread number 0 calls `advance`, and the others use slots
 * and wakers. A thread that waits for another one calls `pause`, which lets the others go on. */
typedef void (*ntcom_kit_thread)(void *context, uint32_t number, void (*pause)(void));

/* ---- The table ---- */

struct ntcom_kit_table {
    uint32_t size;    /* sizeof(struct ntcom_kit_table) */
    uint32_t version; /* NTCOM_KIT_VERSION */
    const char *name; /* the implementation's name, UTF-8 */

    uint32_t shapes; /* the shapes that it offers, among them NTCOM_KIT_PLAIN */
    uint32_t fails;  /* not 0 if bodies may fail [C20] */
    uint32_t raises; /* not 0 if bodies may raise; this fails fast [C12] or ends the process */
    uint32_t level;  /* with `irql`, the IRQL at which bodies run [C13] */
    /* Not 0 if several threads may use slots, wakers and handles at once, while one of them runs
     * `advance`. `run_at_once` and `run_in_turn` say whether the threads are the library's or the
     * kit's. */
    uint32_t threads;
    uint32_t reserved; /* 0 */

    /* Runs a program to its end. Each case is one program. Before and after it the library is in
     * the state in which it was loaded. The answer is 0 if the program ended. Otherwise the library
     * stopped it, for the reason in `stop`, or found an error at its end, such as memory that is
     * left. */
    int32_t (*run)(void (*program)(void *context), void *context, struct ntcom_kit_stop *stop);
    /* Runs bodies until there is nothing to do. Returns even if bodies wait. */
    void (*advance)(void);
    /* Makes an operation. A completion handler may call this too. Returns the IAsyncOperation with
     * one reference, never null [C11]. If `handle` is not null, writes a cancel handle of the
     * operation, or null if there are no handles. */
    void *(*spawn)(const struct ntcom_kit_recipe *recipe, void **handle);
    /* Makes an operation that failed with this status before it began [C7, C11]. */
    void *(*spawn_error)(uint32_t kind, NTSTATUS status);

    /* For bodies, in a poll. The first function answers whether there is a request for
     * cancellation. The second takes the request, and answers whether there was one [C10]. */
    int32_t (*task_is_cancelled)(void *task);
    int32_t (*task_take_cancellation)(void *task);
    /* Wakes the body itself. */
    void (*task_wake)(void *task);
    /* Makes a waker, which keeps the operation's memory. It does not need `task` after that. Any
     * holder may use it. */
    void *(*task_waker)(void *task);
    void *(*waker_clone)(void *waker);
    void (*waker_wake)(void *waker);        /* drops the waker too */
    void (*waker_wake_by_ref)(void *waker); /* keeps the waker */
    void (*waker_drop)(void *waker);

    /* ---- From here on a null member is not offered. ---- */

    /* Cancel handles [C9]. The first function cancels as IAsyncControl does, the second makes a new
     * handle of the same operation, and the third drops a handle. */
    void (*handle_cancel)(void *handle);
    void *(*handle_clone)(void *handle);
    void (*handle_drop)(void *handle);

    /* Makes the allocation of the next operation fail [C11]. */
    void (*fail_next_allocation)(void);
    /* The number of operations that have memory. An operation counts as long as any part of it is
     * left. The constant one does not count. [C3, C9] */
    uint64_t (*live_operations)(void);
    /* The number of allocations since the library was loaded [C13]. */
    uint64_t (*allocations)(void);
    /* The current IRQL [C13]. */
    uint32_t (*irql)(void);
    /* Sets the reference count of an operation to the highest that AddRef may leave, to test an
     * overflow [C3]. */
    void (*exhaust_references)(void *operation);

    /* The first function makes an object with an IUnknown and one reference. It calls `dropped`
     * when the object is gone. The second makes an operation with a body of a method of that object
     * [C19]. */
    void *(*object)(void (*dropped)(void *context), void *context);
    void *(*object_spawn)(void *object, const struct ntcom_kit_recipe *recipe);

    /* An unloading provider [C18]. `close` refuses new operations, `cancel_all` asks all operations
     * to end, and `drain` waits until they have ended. Bodies run during `drain`. */
    void (*close)(void);
    void (*cancel_all)(void);
    void (*drain)(void);

    /* A client that distrusts its provider [C17]. The caller keeps its reference. `client_result`
     * gets the result of a foreign operation with a value of this kind, which is not
     * NTCOM_KIT_UNIT. It writes `out`, in the kind's size, only for STATUS_SUCCESS. `client_status`
     * gets the status, and writes `*out` for STATUS_SUCCESS. `client_query` answers whether it
     * accepts the object as an operation of this kind. */
    NTSTATUS (*client_result)(void *operation, uint32_t kind, void *out);
    NTSTATUS (*client_status)(void *operation, uint32_t kind, ntcom_AsyncStatus *out);
    NTSTATUS (*client_query)(void *unknown, uint32_t kind);

    /* Does as `spawn` does without an executor [C21]. */
    void *(*spawn_without_executor)(const struct ntcom_kit_recipe *recipe);

    /* Calls `what` at PASSIVE_LEVEL, where IAsyncControl's `wait` waits [C15]. Bodies may run in
     * here. */
    void (*at_passive_level)(void (*what)(void *context), void *context);

    /* Threads, only if `threads` is not 0. */

    /* Does as `run` with `count` threads of the library that run at once. Each calls the program
     * with its number. If this is null, the kit starts threads of its own inside of `run`. */
    int32_t (*run_at_once)(uint32_t count, ntcom_kit_thread program, void *context, struct ntcom_kit_stop *stop);
    /* Does as `run_at_once` with one thread running at a time. Wherever another thread may come in
     * between, `schedule` alone decides which one goes on. The same number gives the same run, so
     * that findings are repeatable. Bodies may also run on the stack of any of the threads, as an
     * interrupt does. */
    int32_t (*run_in_turn)(uint32_t count, uint64_t schedule, ntcom_kit_thread program, void *context, struct ntcom_kit_stop *stop);
    /* An alternative to `run_in_turn`, with threads of the kit inside of `run`. From now on the
     * library calls `yield` wherever another thread may come in between, such as before it takes a
     * lock and between accesses without a lock. It never calls `yield` while it holds a lock. The
     * kit lets one thread run at a time, and switches threads there. After a call with null the
     * library calls nothing. */
    void (*yield_with)(void (*yield)(void));

    /* Bodies that wait. */

    /* As `spawn`, with a body that runs and is dropped at PASSIVE_LEVEL [C13]. In its `poll` the kit
     * calls slots, `wait` among them [C15], as the body's own code may. Other bodies may run in that
     * wait, and its time passes inside of `advance`. */
    void *(*spawn_passive)(const struct ntcom_kit_recipe *recipe);
    /* Called by such a body in its `poll`: what a drain answers there, which would wait for the
     * body itself [C18]. */
    NTSTATUS (*drain_in_body)(void);
};

/* The export of the library. The table must stay in place. */
NTCOM_KIT_EXPORT const struct ntcom_kit_table *ntcom_kit(void);

#if defined(__cplusplus)
} /* extern "C" */
#endif

#endif /* NTCOM_KIT_H */
