// A stand-in for the CUDA driver, cuBLAS and cuRAND that computes nothing and counts everything. It shows, on a machine
// without a GPU, what a program asks of one: kernels, matrix products, copies, and memory.
//
// Memory of the device is memory of the host, and starts as zeros. Copies copy. Kernels and products do nothing, so
// results are zeros. Whatever this file does not define is answered with success by `build`.
//
// COUNTING_DRIVER_LOG names a file. Each range between cuProfilerStart and cuProfilerStop appends a line of JSON to it.
// COUNTING_DRIVER_MEMORY is the memory of the device in bytes (default 80 GB); more than that fails as on a GPU.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS 512
enum { SUCCESS = 0, OUT_OF_MEMORY = 2, NOT_FOUND = 500 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { const char *name; long count; } kinds[KINDS];
static struct {
  long kernels, products, clears, within, to_device, to_host, waits, bytes_to_device, bytes_to_host;
} seen;
static size_t used, most;
// The block that this thread took last. It is still zero, so that clearing it can be left out: most of this memory is
// never touched, and the machine need not have it.
static __thread void *fresh;

// Blocks of memory carry their size in front.
#define HEADER 64

static size_t memory(void) {
  const char *text = getenv("COUNTING_DRIVER_MEMORY");
  return text ? strtoull(text, NULL, 10) : 80000000000ull;
}

static int take(void **to, size_t size) {
  pthread_mutex_lock(&lock);
  int fits = used + size <= memory();
  if (fits) {
    used += size;
    if (used > most) most = used;
  }
  pthread_mutex_unlock(&lock);
  char *block = fits ? calloc(1, size + HEADER) : NULL;
  if (!block) return OUT_OF_MEMORY;
  *(size_t *)block = size;
  fresh = *to = block + HEADER;
  return SUCCESS;
}

static int is_awaited(char *block);

static int give_back(void *at) {
  if (!at) return SUCCESS;
  char *block = (char *)at - HEADER;
  pthread_mutex_lock(&lock);
  used -= *(size_t *)block;
  // A stream frees memory after the copies into it.
  int awaited = is_awaited(block);
  pthread_mutex_unlock(&lock);
  if (!awaited) free(block);
  return SUCCESS;
}

static void complain(const char *what) {
  fprintf(stderr, "error: counting driver: %s\n", what);
  abort();
}

static void count_kind(const char *name) {
  for (int i = 0;; i++) {
    if (i == KINDS) complain("too many kinds of kernels");
    if (!kinds[i].name) kinds[i].name = strdup(name);
    if (!strcmp(kinds[i].name, name)) {
      kinds[i].count++;
      return;
    }
  }
}

#define COUNTED(what) \
  pthread_mutex_lock(&lock); \
  what; \
  pthread_mutex_unlock(&lock)

static const char *meaning(int code) {
  return code == OUT_OF_MEMORY ? "out of memory" : code == NOT_FOUND ? "named symbol not found" : "no error that is known";
}
int cuGetErrorName(int code, const char **text) { return *text = meaning(code), SUCCESS; }
int cuGetErrorString(int code, const char **text) { return *text = meaning(code), SUCCESS; }
int cuInit(unsigned flags) { return SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, ordinal == 0 ? SUCCESS : 101; }
int cuDeviceGetName(char *name, int length, int device) {
  return snprintf(name, length, "counting driver"), SUCCESS;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = memory(), SUCCESS; }
// 75 and 76 are the compute capability; 115: memory can be taken asynchronously.
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 75 ? 8 : attribute == 115 ? 1 : attribute == 76 ? 0 : 1024;
  return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { return *context = (void *)64, SUCCESS; }
int cuCtxGetCurrent(void **context) { return *context = (void *)64, SUCCESS; }
int cuStreamCreate(void **stream, unsigned flags) { return *stream = (void *)64, SUCCESS; }
int cuStreamCreateWithPriority(void **stream, unsigned flags, int priority) { return *stream = (void *)64, SUCCESS; }
int cuStreamIsCapturing(void *stream, int *status) { return *status = 0, SUCCESS; }
int cuEventCreate(void **event, unsigned flags) { return *event = (void *)64, SUCCESS; }
int cuEventElapsedTime_v2(float *ms, void *from, void *to) { return *ms = 0, SUCCESS; }

int cuMemGetInfo_v2(size_t *available, size_t *total) {
  *total = memory();
  COUNTED(*available = *total - used);
  return SUCCESS;
}
int cuMemAlloc_v2(void **to, size_t size) { return take(to, size); }
int cuMemAllocAsync(void **to, size_t size, void *stream) { return take(to, size); }
int cuMemFree_v2(void *at) { return give_back(at); }
int cuMemFreeAsync(void *at, void *stream) { return give_back(at); }
// Copies from pinned memory happen later: when the program waits for an event that was recorded behind them, or for the
// stream. Memory that is written or freed before that would lose numbers on a GPU, and is complained about here.
#define PINNED 64
static struct { char *at; size_t size; } pinned[PINNED];
static struct { char *to, *freed; const char *from; size_t size; unsigned long long sum; int recorded; } later[PINNED];

static unsigned long long sum_of(const char *bytes, size_t size) {
  unsigned long long sum = size;
  for (size_t i = 0; i < size; i++) sum = sum * 31 + (unsigned char)bytes[i];
  return sum;
}

static int is_pinned(const char *at) {
  for (int i = 0; i < PINNED; i++)
    if (pinned[i].at && at >= pinned[i].at && at < pinned[i].at + pinned[i].size) return 1;
  return 0;
}

static void copy_later(char *to, const char *from, size_t size) {
  for (int i = 0; i < PINNED; i++) {
    if (later[i].to) continue;
    later[i].to = to, later[i].from = from, later[i].size = size, later[i].sum = sum_of(from, size);
    later[i].recorded = 0, later[i].freed = NULL;
    return;
  }
  complain("too many copies wait");
}

// Whether a copy into a block of memory waits. The block is then freed behind it.
static int is_awaited(char *block) {
  for (int i = 0; i < PINNED; i++) {
    if (!later[i].to || later[i].to < block || later[i].to >= block + HEADER + *(size_t *)block) continue;
    later[i].freed = block;
    return 1;
  }
  return 0;
}

// Does the copies that wait: all, or those with a recorded event behind them.
static void copy_now(int all) {
  for (int i = 0; i < PINNED; i++) {
    if (!later[i].to || !(all || later[i].recorded)) continue;
    if (sum_of(later[i].from, later[i].size) != later[i].sum) complain("pinned memory was written before its copy");
    memcpy(later[i].to, later[i].from, later[i].size);
    free(later[i].freed);
    later[i].to = NULL;
  }
}

int cuEventRecord(void *event, void *stream) {
  COUNTED(for (int i = 0; i < PINNED; i++) later[i].recorded = 1);
  return SUCCESS;
}
int cuEventSynchronize(void *event) {
  COUNTED(copy_now(0));
  return SUCCESS;
}
int cuMemHostAlloc(void **to, size_t size, unsigned flags) {
  *to = calloc(1, size);
  if (!*to) return OUT_OF_MEMORY;
  pthread_mutex_lock(&lock);
  for (int i = 0;; i++) {
    if (i == PINNED) complain("too much pinned memory");
    if (pinned[i].at) continue;
    pinned[i].at = *to, pinned[i].size = size;
    break;
  }
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}
int cuMemFreeHost(void *at) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < PINNED; i++) {
    if (later[i].to && later[i].from == at) complain("pinned memory was freed before its copy");
    if (pinned[i].at == at) pinned[i].at = NULL;
  }
  pthread_mutex_unlock(&lock);
  return free(at), SUCCESS;
}

int cuDeviceGetDefaultMemPool(void **pool, int device) { return *pool = (void *)64, SUCCESS; }
// 7 is the memory in use, 8 the most so far.
int cuMemPoolGetAttribute(void *pool, int attribute, unsigned long long *value) {
  COUNTED(*value = attribute == 7 ? used : attribute == 8 ? most : 0);
  return SUCCESS;
}
int cuMemPoolSetAttribute(void *pool, int attribute, unsigned long long *value) {
  COUNTED(if (attribute == 8) most = used);
  return SUCCESS;
}

int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t size, void *stream) {
  pthread_mutex_lock(&lock);
  seen.to_device++, seen.bytes_to_device += size;
  if (is_pinned(from)) copy_later(to, from, size); else memcpy(to, from, size);
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}
int cuMemcpyHtoD_v2(void *to, const void *from, size_t size) { return cuMemcpyHtoDAsync_v2(to, from, size, NULL); }
int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t size, void *stream) {
  COUNTED(seen.to_host++; seen.bytes_to_host += size; copy_now(1));
  return memcpy(to, from, size), SUCCESS;
}
int cuMemcpyDtoH_v2(void *to, const void *from, size_t size) { return cuMemcpyDtoHAsync_v2(to, from, size, NULL); }
int cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t size, void *stream) {
  COUNTED(seen.within++);
  return memmove(to, from, size), SUCCESS;
}
int cuMemsetD8Async(void *to, unsigned char byte, size_t size, void *stream) {
  COUNTED(seen.clears++);
  if (to != fresh || byte) memset(to, byte, size);
  return SUCCESS;
}
int cuStreamSynchronize(void *stream) {
  COUNTED(seen.waits++; copy_now(1));
  return SUCCESS;
}
int cuCtxSynchronize(void) { return cuStreamSynchronize(NULL); }

// A module is its PTX, and a function is its name. A kernel that is not there is not found.
int cuModuleLoadData(void **module, const void *image) { return *module = strdup(image), SUCCESS; }
int cuModuleGetFunction(void **function, void *module, const char *name) {
  char entry[512];
  snprintf(entry, sizeof entry, ".entry %s(", name);
  return *function = strdup(name), strstr(module, entry) ? SUCCESS : NOT_FOUND;
}
int cuOccupancyMaxPotentialBlockSize(int *grid, int *block, void *f, void *s, size_t d, int limit) {
  return *grid = *block = 64, SUCCESS;
}
int cuLaunchKernel(const char *function, ...) {
  COUNTED(seen.kernels++; count_kind(function));
  return SUCCESS;
}

int cublasCreate_v2(void **handle) { return *handle = (void *)64, SUCCESS; }
int cublasLtCreate(void **handle) { return *handle = (void *)64, SUCCESS; }
int curandCreateGenerator(void **generator, int kind) { return *generator = (void *)64, SUCCESS; }
static int product(const char *name) {
  COUNTED(seen.products++; count_kind(name));
  return SUCCESS;
}
int cublasGemmEx(void) { return product("product"); }
int cublasSgemm_v2(void) { return product("product"); }
int cublasDgemm_v2(void) { return product("product"); }
int cublasGemmStridedBatchedEx(void) { return product("batched product"); }
int cublasSgemmStridedBatched(void) { return product("batched product"); }
int cublasDgemmStridedBatched(void) { return product("batched product"); }

int cuProfilerStart(void) {
  COUNTED(memset(&seen, 0, sizeof seen); most = used; for (int i = 0; i < KINDS; i++) kinds[i].count = 0);
  return SUCCESS;
}

int cuProfilerStop(void) {
  const char *path = getenv("COUNTING_DRIVER_LOG");
  FILE *log = path ? fopen(path, "a") : NULL;
  if (!log) return SUCCESS;
  pthread_mutex_lock(&lock);
  fprintf(log, "{\"kernels\":%ld,\"products\":%ld,\"clears\":%ld,\"copies_within\":%ld,"
    "\"copies_to_device\":%ld,\"copies_to_host\":%ld,\"waits\":%ld,\"bytes_to_device\":%ld,\"bytes_to_host\":%ld,\"most_bytes\":%zu,\"by_name\":{",
    seen.kernels, seen.products, seen.clears, seen.within, seen.to_device, seen.to_host, seen.waits,
    seen.bytes_to_device, seen.bytes_to_host, most);
  const char *between = "";
  for (int i = 0; i < KINDS && kinds[i].name; i++) {
    if (!kinds[i].count) continue;
    fprintf(log, "%s\"%s\":%ld", between, kinds[i].name, kinds[i].count);
    between = ",";
  }
  fprintf(log, "}}\n");
  pthread_mutex_unlock(&lock);
  fclose(log);
  return SUCCESS;
}
