/* Every slot, called once through the helpers of the header. */
#include "abi.h"

void ABI_NAME(abi_c_calls_operation)(void *self, const struct abi_arguments *arguments, uint32_t *answers) {
    ntcom_IAsyncOperation *operation = self;
    answers[0] = (uint32_t)ntcom_IAsyncOperation_QueryInterface(operation, arguments->iid, arguments->interface_out);
    answers[1] = ntcom_IAsyncOperation_AddRef(operation);
    answers[2] = ntcom_IAsyncOperation_Release(operation);
    answers[3] = (uint32_t)ntcom_IAsyncOperation_get_status(operation, arguments->status_out);
    answers[4] = (uint32_t)ntcom_IAsyncOperation_get_result(operation, arguments->result_out);
}

void ABI_NAME(abi_c_calls_control)(void *self, const struct abi_arguments *arguments, uint32_t *answers) {
    ntcom_IAsyncControl *control = self;
    ntcom_CompletedHandler handler = (ntcom_CompletedHandler)(uintptr_t)arguments->handler;
    answers[0] = (uint32_t)ntcom_IAsyncControl_QueryInterface(control, arguments->iid, arguments->interface_out);
    answers[1] = ntcom_IAsyncControl_AddRef(control);
    answers[2] = ntcom_IAsyncControl_Release(control);
    answers[3] = (uint32_t)ntcom_IAsyncControl_cancel(control);
    answers[4] = (uint32_t)ntcom_IAsyncControl_get_error(control, arguments->error_out);
    answers[5] = (uint32_t)ntcom_IAsyncControl_set_completed(control, handler, arguments->context);
    answers[6] = (uint32_t)ntcom_IAsyncControl_wait(control, arguments->timeout);
    answers[7] = (uint32_t)ntcom_IAsyncControl_get_result_size(control, arguments->size_out);
}

void ABI_NAME(abi_c_calls_handler)(void *handler, void *context, int32_t status) {
    ((ntcom_CompletedHandler)(uintptr_t)handler)(context, status);
}
