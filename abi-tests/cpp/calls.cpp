// Every slot, called once through the abstract classes.
#include "abi.h"

void ABI_NAME(abi_cpp_calls_operation)(void *self, const abi_arguments *arguments, uint32_t *answers) {
    auto *operation = static_cast<ntcom::IAsyncOperation<uint64_t> *>(self);
    auto *iid = static_cast<const GUID *>(arguments->iid);
    answers[0] = uint32_t(operation->QueryInterface(iid, static_cast<void **>(arguments->interface_out)));
    answers[1] = operation->AddRef();
    answers[2] = operation->Release();
    answers[3] = uint32_t(operation->get_status(static_cast<ntcom::AsyncStatus *>(arguments->status_out)));
    answers[4] = uint32_t(operation->get_result(static_cast<uint64_t *>(arguments->result_out)));
}

void ABI_NAME(abi_cpp_calls_control)(void *self, const abi_arguments *arguments, uint32_t *answers) {
    auto *control = static_cast<ntcom::IAsyncControl *>(self);
    auto *iid = static_cast<const GUID *>(arguments->iid);
    auto handler = reinterpret_cast<ntcom::CompletedHandler>(arguments->handler);
    answers[0] = uint32_t(control->QueryInterface(iid, static_cast<void **>(arguments->interface_out)));
    answers[1] = control->AddRef();
    answers[2] = control->Release();
    answers[3] = uint32_t(control->cancel());
    answers[4] = uint32_t(control->get_error(static_cast<NTSTATUS *>(arguments->error_out)));
    answers[5] = uint32_t(control->set_completed(handler, arguments->context));
    answers[6] = uint32_t(control->wait(static_cast<const LONGLONG *>(arguments->timeout)));
    answers[7] = uint32_t(control->get_result_size(static_cast<ULONG *>(arguments->size_out)));
}

void ABI_NAME(abi_cpp_calls_handler)(void *handler, void *context, int32_t status) {
    reinterpret_cast<ntcom::CompletedHandler>(handler)(context, status);
}
