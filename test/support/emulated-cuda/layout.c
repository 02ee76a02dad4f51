/* Prints structures and codes of the interface, one `name value` a line: compiled with this emulator's header, and with the real one. */
#include "cuda-abi.h"
#include <stdio.h>

#define SIZE(type) printf("sizeof(" #type ") %zu\n", sizeof(type))
#define AT(type, field) printf(#type "." #field " %zu\n", offsetof(type, field))
#define CODE(name) printf(#name " %d\n", (int)name)

int main(void) {
  SIZE(CUdeviceptr);
  SIZE(CUdevice);
  SIZE(CUmemGenericAllocationHandle);
  SIZE(CUuuid);
  SIZE(CUipcMemHandle);
  SIZE(CUmemAllocationProp);
  AT(CUmemAllocationProp, type);
  AT(CUmemAllocationProp, requestedHandleTypes);
  AT(CUmemAllocationProp, location.type);
  AT(CUmemAllocationProp, location.id);
  AT(CUmemAllocationProp, win32HandleMetaData);
  AT(CUmemAllocationProp, allocFlags);
  SIZE(CUmemAccessDesc);
  AT(CUmemAccessDesc, location.type);
  AT(CUmemAccessDesc, location.id);
  AT(CUmemAccessDesc, flags);
  CODE(CUDA_ERROR_INVALID_VALUE);
  CODE(CUDA_ERROR_OUT_OF_MEMORY);
  CODE(CUDA_ERROR_NOT_INITIALIZED);
  CODE(CUDA_ERROR_NO_DEVICE);
  CODE(CUDA_ERROR_INVALID_DEVICE);
  CODE(CUDA_ERROR_INVALID_CONTEXT);
  CODE(CUDA_ERROR_OPERATING_SYSTEM);
  CODE(CUDA_ERROR_INVALID_HANDLE);
  CODE(CUDA_ERROR_NOT_READY);
  CODE(CUDA_ERROR_ILLEGAL_ADDRESS);
  CODE(CUDA_ERROR_CONTEXT_IS_DESTROYED);
  CODE(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  CODE(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
  CODE(CUDA_ERROR_NOT_PERMITTED);
  CODE(CUDA_ERROR_NOT_SUPPORTED);
  CODE(CUDA_ERROR_UNKNOWN);
  CODE(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED);
  CODE(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED);
  CODE(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  CODE(CU_MEM_ACCESS_FLAGS_PROT_READ);
  CODE(CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  CODE(CU_MEM_LOCATION_TYPE_DEVICE);
  CODE(CU_MEM_ALLOCATION_TYPE_PINNED);
  CODE(CU_MEM_ALLOC_GRANULARITY_MINIMUM);
  CODE(CU_STREAM_NON_BLOCKING);
  CODE(CU_EVENT_DISABLE_TIMING);
  CODE(CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
  return 0;
}
