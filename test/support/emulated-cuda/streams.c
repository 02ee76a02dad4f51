/* Streams, each a thread that does one thing after another, later; events; copies. */
#define _GNU_SOURCE
#include "emulated.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct CUevent_st {
  unsigned pending; /* records that have not been reached */
  bool destroyed;
};

struct operation {
  struct operation *next;
  enum { WRITE, MOVE, FILL, RECORD } kind;
  CUdeviceptr target, from;
  const void *source; /* pinned, read when its turn comes */
  void *staged;       /* a copy made at the call, since the source was not pinned */
  size_t bytes;
  unsigned char value;
  CUevent event;
};

struct CUstream_st {
  struct CUstream_st *next;
  pthread_t thread;
  pthread_cond_t changed;
  struct operation *first, **last;
  bool busy, ending;
  CUcontext context;
};

static struct CUstream_st *streams;
static long queued;

static CUresult perform(struct operation *operation) {
  switch (operation->kind) {
    case WRITE:
      if (operation->staged != NULL) return write_device(operation->target, operation->staged, operation->bytes);
      if (!is_pinned(operation->source, operation->bytes)) return CUDA_ERROR_ILLEGAL_ADDRESS;
      return write_device(operation->target, operation->source, operation->bytes);
    case MOVE:
      return move_device(operation->target, operation->from, operation->bytes);
    case FILL:
      return fill_device(operation->target, operation->value, operation->bytes);
    case RECORD:
      if (--operation->event->pending == 0 && operation->event->destroyed) free(operation->event);
      return CUDA_SUCCESS;
  }
  return CUDA_ERROR_UNKNOWN;
}

static void *run_stream(void *argument) {
  struct CUstream_st *stream = argument;
  pthread_mutex_lock(&lock);
  for (;;) {
    while (stream->first == NULL && !stream->ending) pthread_cond_wait(&stream->changed, &lock);
    struct operation *operation = stream->first;
    if (operation == NULL) break;
    stream->first = operation->next;
    if (stream->first == NULL) stream->last = &stream->first;
    stream->busy = true;
    if (settings.copy_delay_us > 0 && operation->kind != RECORD) {
      unsigned delay = settings.copy_delay_us;
      pthread_mutex_unlock(&lock);
      usleep(delay);
      pthread_mutex_lock(&lock);
    }
    CUresult code = perform(operation);
    if (code != CUDA_SUCCESS) {
      counts.faults++;
      if (stream->context->fault == CUDA_SUCCESS) stream->context->fault = code;
    }
    free(operation->staged);
    free(operation);
    queued--;
    stream->busy = false;
    pthread_cond_broadcast(&stream->changed);
  }
  pthread_mutex_unlock(&lock);
  return NULL;
}

/* Where the list names it; at the end, which is NULL, when it is no stream. */
static struct CUstream_st **place_of(CUstream wanted) {
  struct CUstream_st **at = &streams;
  while (*at != NULL && *at != wanted) at = &(*at)->next;
  return at;
}

static CUresult enqueue(CUstream stream, struct operation wanted) {
  pthread_mutex_lock(&lock);
  if (*place_of(stream) == NULL) {
    pthread_mutex_unlock(&lock);
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (wanted.kind == WRITE && !is_pinned(wanted.source, wanted.bytes)) {
    wanted.staged = malloc(wanted.bytes + 1);
    memcpy(wanted.staged, wanted.source, wanted.bytes);
    counts.pageable += wanted.bytes;
  }
  if (wanted.kind == RECORD) wanted.event->pending++;
  struct operation *operation = malloc(sizeof *operation);
  *operation = wanted;
  operation->next = NULL;
  *stream->last = operation;
  stream->last = &operation->next;
  if (++queued > counts.most_queued) counts.most_queued = queued;
  pthread_cond_broadcast(&stream->changed);
  pthread_mutex_unlock(&lock);
  return CUDA_SUCCESS;
}

static void drain(CUstream stream) {
  while (stream->first != NULL || stream->busy) pthread_cond_wait(&stream->changed, &lock);
}

EXPORTED CUresult cuStreamCreate(CUstream *out, unsigned int flags) {
  CALL(cuStreamCreate);
  NEEDS_CONTEXT();
  if (flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
  struct CUstream_st *stream = calloc(1, sizeof *stream);
  pthread_cond_init(&stream->changed, NULL);
  stream->last = &stream->first;
  stream->context = current;
  if (pthread_create(&stream->thread, NULL, run_stream, stream) != 0) {
    free(stream);
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
  pthread_mutex_lock(&lock);
  stream->next = streams;
  streams = stream;
  counts.streams++;
  pthread_mutex_unlock(&lock);
  *out = stream;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuStreamSynchronize(CUstream stream) {
  CALL(cuStreamSynchronize);
  NEEDS_CONTEXT();
  pthread_mutex_lock(&lock);
  bool known = *place_of(stream) != NULL;
  if (known) drain(stream);
  CUresult fault = known ? stream->context->fault : CUDA_ERROR_INVALID_HANDLE;
  pthread_mutex_unlock(&lock);
  return fault;
}

EXPORTED CUresult cuStreamDestroy_v2(CUstream stream) {
  CALL(cuStreamDestroy_v2);
  NEEDS_CONTEXT();
  pthread_mutex_lock(&lock);
  struct CUstream_st **at = place_of(stream);
  bool known = *at != NULL;
  if (known) {
    *at = stream->next;
    counts.streams--;
    stream->ending = true;
    pthread_cond_broadcast(&stream->changed);
  }
  pthread_mutex_unlock(&lock);
  if (!known) return CUDA_ERROR_INVALID_HANDLE;
  pthread_join(stream->thread, NULL);
  free(stream);
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuEventCreate(CUevent *event, unsigned int flags) {
  CALL(cuEventCreate);
  NEEDS_CONTEXT();
  if (flags > 7) return CUDA_ERROR_INVALID_VALUE;
  *event = calloc(1, sizeof **event);
  pthread_mutex_lock(&lock);
  counts.events++;
  pthread_mutex_unlock(&lock);
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuEventDestroy_v2(CUevent event) {
  CALL(cuEventDestroy_v2);
  NEEDS_CONTEXT();
  pthread_mutex_lock(&lock);
  counts.events--;
  if (event->pending == 0) free(event);
  else event->destroyed = true;
  pthread_mutex_unlock(&lock);
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuEventRecord(CUevent event, CUstream stream) {
  CALL(cuEventRecord);
  NEEDS_CONTEXT();
  return enqueue(stream, (struct operation){.kind = RECORD, .event = event});
}

EXPORTED CUresult cuEventQuery(CUevent event) {
  CALL(cuEventQuery);
  NEEDS_CONTEXT();
  pthread_mutex_lock(&lock);
  bool pending = event->pending > 0;
  pthread_mutex_unlock(&lock);
  return pending ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

EXPORTED CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t bytes, CUstream stream) {
  CALL(cuMemcpyHtoDAsync_v2);
  NEEDS_CONTEXT();
  return enqueue(stream, (struct operation){.kind = WRITE, .target = target, .source = source, .bytes = bytes});
}

EXPORTED CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream) {
  CALL(cuMemcpyDtoDAsync_v2);
  NEEDS_CONTEXT();
  return enqueue(stream, (struct operation){.kind = MOVE, .target = target, .from = source, .bytes = bytes});
}

EXPORTED CUresult cuMemsetD8Async(CUdeviceptr target, unsigned char value, size_t bytes, CUstream stream) {
  CALL(cuMemsetD8Async);
  NEEDS_CONTEXT();
  return enqueue(stream, (struct operation){.kind = FILL, .target = target, .value = value, .bytes = bytes});
}

/* Of the calling thread, at once; other streams go on meanwhile. */
EXPORTED CUresult cuMemcpyHtoD_v2(CUdeviceptr target, const void *source, size_t bytes) {
  CALL(cuMemcpyHtoD_v2);
  NEEDS_CONTEXT();
  pthread_mutex_lock(&lock);
  CUresult code = write_device(target, source, bytes);
  if (code != CUDA_SUCCESS) current->fault = code;
  pthread_mutex_unlock(&lock);
  return code;
}

EXPORTED CUresult cuMemcpyDtoH_v2(void *target, CUdeviceptr source, size_t bytes) {
  CALL(cuMemcpyDtoH_v2);
  NEEDS_CONTEXT();
  pthread_mutex_lock(&lock);
  CUresult code = read_device(target, source, bytes);
  if (code != CUDA_SUCCESS) current->fault = code;
  pthread_mutex_unlock(&lock);
  return code;
}
