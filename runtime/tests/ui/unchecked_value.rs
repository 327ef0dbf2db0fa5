//! An operation is read and awaited where the bytes of its value can be checked, or by a client
//! that vouches for the provider.
use ntcom::{AsyncOperation, AsyncOperationRaw, ComRc};

type Callback = Option<unsafe extern "system" fn(u32)>;

async fn of_a_callback(operation: AsyncOperation<Callback>) {
    let _ = operation.await;
}

fn read(operation: &ComRc<AsyncOperationRaw<Callback>>) {
    let _ = operation.result();
}

async fn trusted(operation: AsyncOperation<Callback>) {
    let _ = operation.into_future_trusted().await;
}

fn main() {}
