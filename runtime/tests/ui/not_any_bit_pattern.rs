//! A foreign operation's value may be any bytes, so awaiting it needs a type that allows any bytes.
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
