/* Start, devices, contexts, names of errors; settings, injected errors and the report. */
#define _GNU_SOURCE
#include "emulated.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings settings = {.devices = 1, .memory_bytes = 1u << 30, .granularity_bytes = 2u << 20, .vmm = true};
struct counts counts;
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
_Thread_local CUcontext current;

static bool initialised;
static struct CUctx_st primary[MOST_DEVICES];
static long copies_to_device;

/* Calls by name, in the order of their first. */
static struct { const char *name; long calls; } called[128];
static size_t called_count;
static long calls_since_fail_set;

static void apply(const char *name, const char *value) {
  if (strcmp(name, "DEVICES") == 0) settings.devices = atoi(value);
  else if (strcmp(name, "MEMORY_BYTES") == 0) settings.memory_bytes = strtoull(value, NULL, 10);
  else if (strcmp(name, "GRANULARITY_BYTES") == 0) settings.granularity_bytes = strtoull(value, NULL, 10);
  else if (strcmp(name, "VMM") == 0) settings.vmm = atoi(value) != 0;
  else if (strcmp(name, "COPY_DELAY_US") == 0) settings.copy_delay_us = (unsigned)atoi(value);
  else if (strcmp(name, "CORRUPT") == 0) {
    settings.corrupt_at = atol(value);
    copies_to_device = 0;
  } else if (strcmp(name, "FAIL") == 0) {
    int code = 0;
    settings.fail_name[0] = 0;
    settings.fail_at = 0;
    settings.fail_fired = false;
    calls_since_fail_set = 0;
    if (*value != 0 && sscanf(value, "%63[^:]:%ld:%d", settings.fail_name, &settings.fail_at, &code) != 3) abort();
    settings.fail_code = (CUresult)code;
  } else {
    fprintf(stderr, "emulated cuda: no setting %s\n", name);
    abort();
  }
}

__attribute__((constructor)) static void read_environment(void) {
  static const char *const names[] = {"DEVICES", "MEMORY_BYTES", "GRANULARITY_BYTES", "VMM", "COPY_DELAY_US", "CORRUPT", "FAIL"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char variable[64];
    snprintf(variable, sizeof variable, "EMULATED_CUDA_%s", names[i]);
    const char *value = getenv(variable);
    if (value != NULL) apply(names[i], value);
  }
}

EXPORTED void emulated_cuda_set(const char *name, const char *value) {
  pthread_mutex_lock(&lock);
  apply(name, value);
  pthread_mutex_unlock(&lock);
}

/* JSON; returns its length. */
EXPORTED int emulated_cuda_report(char *buffer, size_t size) {
  pthread_mutex_lock(&lock);
  int n = snprintf(buffer, size,
                   "{\"alive\":{\"physical\":%ld,\"reservations\":%ld,\"mappings\":%ld,\"allocations\":%ld,\"opened\":%ld,\"registered\":%ld,"
                   "\"hostAllocations\":%ld,\"streams\":%ld,\"events\":%ld,\"contexts\":%ld},"
                   "\"bytes\":{\"hostToDevice\":%llu,\"deviceToHost\":%llu,\"deviceToDevice\":%llu,\"set\":%llu,\"pageable\":%llu},"
                   "\"mostQueued\":%ld,\"threads\":%ld,\"faults\":%ld,\"fired\":%s,\"calls\":{",
                   counts.physical, counts.reservations, counts.mappings, counts.allocations, counts.opened, counts.registered,
                   counts.host_allocations, counts.streams, counts.events, counts.contexts, counts.host_to_device, counts.device_to_host,
                   counts.device_to_device, counts.set, counts.pageable, counts.most_queued, counts.threads, counts.faults,
                   settings.fail_fired ? "true" : "false");
  for (size_t i = 0; i < called_count && (size_t)n < size; i++)
    n += snprintf(buffer + n, size - (size_t)n, "%s\"%s\":%ld", i == 0 ? "" : ",", called[i].name, called[i].calls);
  if ((size_t)n < size) n += snprintf(buffer + n, size - (size_t)n, "}}");
  pthread_mutex_unlock(&lock);
  return n;
}

__attribute__((destructor)) static void report_at_exit(void) {
  const char *path = getenv("EMULATED_CUDA_REPORT");
  if (path == NULL || called_count == 0) return;
  static char text[16384];
  int length = emulated_cuda_report(text, sizeof text);
  FILE *file = fopen(path, "w");
  if (file == NULL) return;
  fwrite(text, 1, (size_t)length, file);
  fclose(file);
}

CUresult begin_call(const char *name, bool needs_init) {
  static _Thread_local bool known_thread;
  pthread_mutex_lock(&lock);
  if (!known_thread) counts.threads++;
  known_thread = true;
  size_t i = 0;
  while (i < called_count && strcmp(called[i].name, name) != 0) i++;
  if (i == called_count) called[called_count++].name = name;
  called[i].calls++;
  bool any = strcmp(settings.fail_name, "*") == 0 && strcmp(name, "cuEventQuery") != 0;
  bool matches = settings.fail_at > 0 && (any || strcmp(settings.fail_name, name) == 0);
  bool fails = matches && ++calls_since_fail_set == settings.fail_at;
  if (fails) settings.fail_fired = true;
  CUresult code = fails ? settings.fail_code : needs_init && !initialised ? CUDA_ERROR_NOT_INITIALIZED : CUDA_SUCCESS;
  pthread_mutex_unlock(&lock);
  return code;
}

CUresult context_state(void) {
  pthread_mutex_lock(&lock);
  CUresult state = current == NULL ? CUDA_ERROR_INVALID_CONTEXT : current->references == 0 ? CUDA_ERROR_CONTEXT_IS_DESTROYED : current->fault;
  pthread_mutex_unlock(&lock);
  return state;
}

bool is_corrupting(void) {
  return settings.corrupt_at > 0 && ++copies_to_device == settings.corrupt_at;
}

EXPORTED CUresult cuInit(unsigned int flags) {
  CUresult injected = begin_call("cuInit", false);
  if (injected != CUDA_SUCCESS) return injected;
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (settings.devices == 0) return CUDA_ERROR_NO_DEVICE;
  initialised = true;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuDriverGetVersion(int *version) {
  CUresult injected = begin_call("cuDriverGetVersion", false);
  if (injected != CUDA_SUCCESS) return injected;
  *version = 13000;
  return CUDA_SUCCESS;
}

static bool is_device(CUdevice device) { return device >= 0 && device < settings.devices && device < MOST_DEVICES; }

EXPORTED CUresult cuDeviceGetCount(int *count) {
  CALL(cuDeviceGetCount);
  *count = settings.devices;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  CALL(cuDeviceGet);
  if (!is_device(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
  CALL(cuDeviceGetName);
  if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  snprintf(name, (size_t)length, "Emulated device %d", device);
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device) {
  CALL(cuDeviceGetUuid_v2);
  if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  memset(uuid, 0xe0 + device, sizeof *uuid);
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
  CALL(cuDeviceGetAttribute);
  if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (attribute != CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED &&
      attribute != CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED)
    return CUDA_ERROR_INVALID_VALUE;
  *value = settings.vmm;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  CALL(cuDevicePrimaryCtxRetain);
  if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  pthread_mutex_lock(&lock);
  primary[device].device = device;
  if (primary[device].references++ == 0) primary[device].fault = CUDA_SUCCESS;
  counts.contexts++;
  *context = &primary[device];
  pthread_mutex_unlock(&lock);
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  CALL(cuDevicePrimaryCtxRelease_v2);
  if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  pthread_mutex_lock(&lock);
  bool held = primary[device].references > 0;
  if (held) {
    primary[device].references--;
    counts.contexts--;
  }
  pthread_mutex_unlock(&lock);
  return held ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

EXPORTED CUresult cuCtxSetCurrent(CUcontext context) {
  CALL(cuCtxSetCurrent);
  current = context;
  return CUDA_SUCCESS;
}

static const struct { CUresult code; const char *name, *text; } errors[] = {
#define ERROR(name, text) {name, #name, text}
    ERROR(CUDA_SUCCESS, "no error"),
    ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    ERROR(CUDA_ERROR_OPERATING_SYSTEM, "OS call failed or operation not supported on this OS"),
    ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    ERROR(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
    ERROR(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "part or all of the requested memory range is already mapped"),
    ERROR(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "pointer does not correspond to a registered memory region"),
    ERROR(CUDA_ERROR_NOT_PERMITTED, "operation not permitted"),
    ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
#undef ERROR
};

static CUresult describe(CUresult code, const char **out, bool name) {
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
    if (errors[i].code == code) {
      *out = name ? errors[i].name : errors[i].text;
      return CUDA_SUCCESS;
    }
  *out = NULL;
  return CUDA_ERROR_INVALID_VALUE;
}

/* Never made to fail: what fails is told by them. */
EXPORTED CUresult cuGetErrorName(CUresult code, const char **name) { return describe(code, name, true); }
EXPORTED CUresult cuGetErrorString(CUresult code, const char **text) { return describe(code, text, false); }
