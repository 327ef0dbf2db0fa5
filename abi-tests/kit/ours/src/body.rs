//! A future that runs a recipe.

use core::{
    future::{Future, poll_fn},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::join;
use ntcom::{NTSTATUS, on_cancel, try_finally};
use ntcom_kit_table::{Recipe, poll, shape};

use crate::values::Value;

/// The kit's body. It tells the kit when it is dropped.
pub(crate) struct Kits(Recipe);

// SAFETY: the kit's functions may be called by the thread that polls or drops the body. If there
// are several threads, the kit passes functions that allow them.
unsafe impl Send for Kits {}

impl Kits {
    /// Takes over the body of a recipe. It copies the recipe.
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self(recipe)
    }

    fn begin(&self) {
        // SAFETY: this calls the recipe's function with the recipe's context.
        unsafe { (self.0.begin)(self.0.context) }
    }

    fn guarded(&self, guard: u32, has_value: bool) {
        // SAFETY: this calls the recipe's function with the recipe's context.
        unsafe { (self.0.guarded)(self.0.context, guard, has_value.into()) }
    }

    fn finish<T: Value>(&self) -> Result<T, NTSTATUS> {
        let mut value = MaybeUninit::<T>::zeroed();
        // SAFETY: this calls the recipe's function with the recipe's context. `value` has room for
        // the kind's value.
        let status = NTSTATUS(unsafe { (self.0.finish)(self.0.context, value.as_mut_ptr().cast()) });
        if status == NTSTATUS::SUCCESS {
            // SAFETY: the value is zeroed, and the kit has written it. Any bytes are valid for each
            // of the types.
            Ok(unsafe { value.assume_init() })
        } else {
            Err(status)
        }
    }
}

impl Drop for Kits {
    fn drop(&mut self) {
        // SAFETY: this calls the recipe's function with the recipe's context, once.
        unsafe { (self.0.drop)(self.0.context) }
    }
}

/// A recipe that outlives the futures made of it. All of them are in the same body.
#[derive(Clone, Copy)]
struct Parts(Recipe);

// SAFETY: the kit's functions may be called by the thread that polls the body, as for `Kits`.
unsafe impl Send for Parts {}

impl Parts {
    fn part(self, number: u32) -> impl Future<Output = ()> + Send {
        poll_fn(move |context| self.poll(number, context))
    }

    #[expect(clippy::panic, reason = "the kit asks for a panic, and looks what becomes of it")]
    fn poll(self, number: u32, context: &mut Context<'_>) -> Poll<()> {
        let task = core::ptr::from_mut(context).cast();
        // SAFETY: this calls the recipe's function with the recipe's context, and the task of this
        // poll.
        match unsafe { (self.0.poll)(self.0.context, number, task) } {
            poll::PENDING => Poll::Pending,
            poll::RAISE => panic!("the kit's body asks for it"),
            _ => Poll::Ready(()),
        }
    }
}

/// A future that tells the kit the beginning of each poll, and holds the body.
struct Told<F> {
    // The main is dropped before the body that holds it.
    inner: F,
    body: Kits,
}

impl<T: Value, F: Future<Output = ()>> Future for Typed<T, F> {
    type Output = Result<T, NTSTATUS>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `inner` is pinned with `self` and never moved out. The body is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        this.told.body.begin();
        // SAFETY: `inner` is pinned with `self` and never moved out.
        let inner = unsafe { Pin::new_unchecked(&mut this.told.inner) };
        inner.poll(context).map(|()| this.told.body.finish())
    }
}

/// A [`Told`] with its type of value.
struct Typed<T, F> {
    told: Told<F>,
    value: core::marker::PhantomData<fn() -> T>,
}

/// The whole body of a recipe. It yields its value, or the status with which it fails.
pub(crate) fn fallible<T: Value>(body: Kits) -> impl Future<Output = Result<T, NTSTATUS>> + Send + 'static {
    let parts = Parts(body.0);
    let guards = GuardsOf(parts);
    let inner = async move {
        match parts.0.shape {
            shape::TRY_FINALLY => {
                let ended = try_finally(parts.part(0), parts.part(1)).await;
                guards.ended(0, ended.is_some());
            }
            shape::ON_CANCEL => {
                let ended = on_cancel(parts.part(0), parts.part(1)).await;
                guards.ended(0, ended.is_some());
            }
            shape::NESTED => {
                let main = async move {
                    let ended = try_finally(parts.part(0), parts.part(1)).await;
                    guards.ended(0, ended.is_some());
                    parts.part(2).await;
                };
                let ended = try_finally(main, parts.part(3)).await;
                guards.ended(1, ended.is_some());
            }
            shape::JOIN => {
                let (first, second) = join(
                    try_finally(parts.part(0), parts.part(1)),
                    try_finally(parts.part(2), parts.part(3)),
                )
                .await;
                guards.ended(0, first.is_some());
                guards.ended(1, second.is_some());
            }
            _ => parts.part(0).await,
        }
    };
    Typed { told: Told { inner, body }, value: core::marker::PhantomData }
}

/// The whole body of a recipe that never fails.
pub(crate) fn infallible<T: Value>(body: Kits) -> impl Future<Output = T> + Send + 'static {
    let inner = fallible::<T>(body);
    async move {
        match inner.await {
            Ok(value) => value,
            Err(status) => ntsim::fail("kit", format!("a body that may not fail does, with {status}")),
        }
    }
}

/// Tells the kit the ends of guards.
#[derive(Clone, Copy)]
struct GuardsOf(Parts);

impl GuardsOf {
    fn ended(self, guard: u32, has_value: bool) {
        core::mem::ManuallyDrop::new(Kits(self.0.0)).guarded(guard, has_value);
    }
}
