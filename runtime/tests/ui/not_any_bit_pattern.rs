//! What anybody's operation yields may be any bytes: it is awaited where every bit pattern is a value, or by who trusts its provider.
use ntcom::{AsyncOperation, AsyncOperationRaw, ComRc};

async fn of_a_bool(operation: AsyncOperation<bool>) {
    let _ = operation.await;
}

async fn as_returned(operation: ComRc<AsyncOperationRaw<char>>) {
    let _ = operation.await;
}

fn read(operation: &AsyncOperation<bool>) {
    let _ = operation.result();
}

async fn trusted(operation: AsyncOperation<bool>) {
    let _ = operation.into_future_trusted().await;
}

fn main() {}
