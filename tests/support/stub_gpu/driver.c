/* A driver of an NVIDIA GPU that is not there: its memory is the host's, and it runs a kernel by calling what the test
 * has compiled it to for the host. It is built as libcuda.so.1 and refuses what a driver would refuse.
 *
 * 8 GB can be allocated, or what stub_limit says. After stub_fail_after(n) the n-th launch fails, and all calls after it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700,
       CAPTURE_UNSUPPORTED = 900 };
typedef void (*Run)(void **parameters, const uint32_t *grid, const uint32_t *block);
typedef struct Kernel { char *name; Run run; struct Kernel *next; } Kernel;
/* Of a graph: a launch or, without a kernel, the filling of memory. */
typedef struct Launch {
    Kernel *kernel;
    uint32_t grid[3], block[3];
    uint64_t *values;
    int count;
    uintptr_t address;
    size_t size;
    unsigned char byte;
    struct Launch *next;
} Launch;
typedef struct { Launch *first, **last; } Graph;
typedef struct Block { uintptr_t address; size_t size; struct Block *next; } Block;

static Kernel *kernels;
static Block *blocks;
static size_t used, memory = (size_t)8 << 30;
static long launches, failing, failed;
static void *current = NULL;
static int context = 1;
static Graph *capturing = NULL;


/* Of the test. */
void stub_register(const char *name, Run run) {
    Kernel *one = calloc(1, sizeof *one);
    one->name = strdup(name);
    one->run = run, one->next = kernels, kernels = one;
}
size_t stub_used(void) { return used; }
long stub_launches(void) { return launches; }
void stub_limit(size_t n) { memory = n; }
void stub_fail_after(long n) { launches = 0, failing = n; }

/* All that follows is the driver's interface, as its documentation has it. */
int cuInit(unsigned flags) { const char *why = getenv("STUB_INIT"); return why ? atoi(why) : OK; }
int cuDriverGetVersion(int *v) { const char *n = getenv("STUB_VERSION"); *v = n ? atoi(n) : 12090; return OK; }
int cuGetErrorName(int e, const char **s) { *s = "CUDA_ERROR"; return OK; }
int cuGetErrorString(int e, const char **s) { *s = "an error of the stub"; return OK; }
int cuDeviceGetCount(int *n) { *n = 1; return OK; }
int cuDeviceGet(int *d, int n) { *d = n; return n == 0 ? OK : INVALID_VALUE; }
int cuDeviceGetName(char *s, int n, int d) { snprintf(s, n, "Stub GPU"); return OK; }
int cuDeviceGetUuid(char *u, int d) { memset(u, 0, 16); return OK; }
int cuDeviceGetAttribute(int *v, int what, int d) {
    switch (what) {
    case 75: *v = 10; break;               /* compute capability: that of a compiler which takes LLVM of today */
    case 76: *v = 0; break;
    case 16: *v = 132; break;              /* multiprocessors */
    case 1: *v = 1024; break;              /* threads of a block */
    case 10: *v = 32; break;               /* of a warp */
    default: *v = 0;
    }
    return OK;
}
int cuDevicePrimaryCtxRetain(void **c, int d) { *c = &context; return OK; }
int cuDevicePrimaryCtxRelease(int d) { return OK; }
int cuDevicePrimaryCtxGetState(int d, unsigned *f, int *a) { *f = 0, *a = 1; return OK; }
int cuCtxSetCurrent(void *c) { current = c; return failed ? ILLEGAL_ADDRESS : OK; }
int cuCtxGetCurrent(void **c) { *c = current; return OK; }
int cuCtxPushCurrent(void *c) { current = c; return OK; }
int cuCtxPopCurrent(void **c) { *c = current; return OK; }
int cuCtxGetDevice(int *d) { *d = 0; return OK; }
int cuCtxGetApiVersion(void *c, unsigned *v) { *v = 12090; return OK; }
int cuCtxSynchronize(void) { return failed ? ILLEGAL_ADDRESS : OK; }
int cuMemGetInfo(size_t *free_, size_t *all) { *all = memory, *free_ = memory > used ? memory - used : 0; return OK; }

int cuMemAlloc(uintptr_t *p, size_t n) {
    if (failed) return ILLEGAL_ADDRESS;
    if (capturing) return CAPTURE_UNSUPPORTED;
    if (n == 0) return INVALID_VALUE;
    if (used + n > memory) return OUT_OF_MEMORY;
    void *got;
    if (posix_memalign(&got, 256, n + 256)) return OUT_OF_MEMORY;
    memset(got, 0xA5, n); /* nobody may count on zeros */
    Block *block = malloc(sizeof *block);
    *block = (Block){(uintptr_t)got, n, blocks}, blocks = block;
    used += n, *p = (uintptr_t)got;
    return OK;
}
int cuMemFree(uintptr_t p) {
    for (Block **at = &blocks; *at; at = &(*at)->next)
        if ((*at)->address == p) {
            Block *gone = *at;
            used -= gone->size, *at = gone->next;
            memset((void *)p, 0x5A, gone->size); /* nor use what was given back */
            free((void *)p), free(gone);
            return OK;
        }
    return INVALID_VALUE;
}
static int is_within(uintptr_t p, size_t n) {
    for (Block *at = blocks; at; at = at->next)
        if (p >= at->address && p + n <= at->address + at->size) return 1;
    return 0;
}
int cuMemAllocHost(void **p, size_t n) { return posix_memalign(p, 4096, n ? n : 1) ? OUT_OF_MEMORY : OK; }
int cuMemFreeHost(void *p) { free(p); return OK; }
int cuMemcpyHtoDAsync(uintptr_t d, const void *h, size_t n, void *s) {
    if (failed) return ILLEGAL_ADDRESS;
    if (capturing) return CAPTURE_UNSUPPORTED;
    if (n && !is_within(d, n)) return INVALID_VALUE;
    memcpy((void *)d, h, n);
    return OK;
}
int cuMemcpyDtoHAsync(void *h, uintptr_t d, size_t n, void *s) {
    if (failed) return ILLEGAL_ADDRESS;
    if (capturing) return CAPTURE_UNSUPPORTED;
    if (n && !is_within(d, n)) return INVALID_VALUE;
    memcpy(h, (void *)d, n);
    return OK;
}
int cuMemsetD8Async(uintptr_t d, unsigned char v, size_t n, void *s) {
    if (failed) return ILLEGAL_ADDRESS;
    if (n && !is_within(d, n)) return INVALID_VALUE;
    if (capturing) {
        Launch *one = calloc(1, sizeof *one);
        one->address = d, one->size = n, one->byte = v;
        *capturing->last = one, capturing->last = &one->next;
        return OK;
    }
    memset((void *)d, v, n);
    return OK;
}
int cuStreamCreate(void **s, unsigned f) { *s = malloc(1); return OK; }
int cuStreamSynchronize(void *s) { return failed ? ILLEGAL_ADDRESS : capturing ? CAPTURE_UNSUPPORTED : OK; }
int cuStreamWaitEvent(void *s, void *e, unsigned f) { return OK; }
int cuEventCreate(void **e, unsigned f) { *e = malloc(1); return OK; }
int cuEventRecord(void *e, void *s) { return OK; }
int cuEventSynchronize(void *e) { return failed ? ILLEGAL_ADDRESS : OK; }
int cuStreamDestroy(void *s) { free(s); return OK; }
int cuModuleUnload(void *m) { free(m); return OK; }
int cuEventDestroy(void *e) { free(e); return OK; }
int cuModuleLoadData(void **m, const void *image) {
    *m = malloc(1);
    return memcmp(image, "\177ELF", 4) ? INVALID_VALUE : OK;
}
int cuModuleGetFunction(void **f, void *m, const char *name) {
    for (Kernel *one = kernels; one; one = one->next)
        if (!strcmp(one->name, name)) { *f = one; return OK; }
    return NOT_FOUND;
}
int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   void *stream, void **parameters, void **extra) {
    if (failed) return ILLEGAL_ADDRESS;
    if (!gx || !gy || !gz || gx > 2147483647u || gy > 65535 || gz > 65535) return INVALID_VALUE;
    if (!bx || !by || !bz || bx > 1024 || by > 1024 || bz > 64 || bx * by * bz > 1024) return INVALID_VALUE;
    if (++launches == failing) { failed = 1; return OK; } /* a launch fails later */
    uint32_t grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
    if (capturing) {
        Launch *one = calloc(1, sizeof *one);
        one->kernel = f, memcpy(one->grid, grid, 12), memcpy(one->block, block, 12);
        one->values = calloc(1024, 8);
        extern int stub_parameters(const char *name);
        one->count = stub_parameters(((Kernel *)f)->name);
        for (int i = 0; i < one->count; i++) memcpy(one->values + i, parameters[i], 8);
        *capturing->last = one, capturing->last = &one->next;
        return OK;
    }
    ((Kernel *)f)->run(parameters, grid, block);
    return OK;
}
typedef struct Count { char *name; int count; struct Count *next; } Count;
static Count *counts;
void stub_count(const char *name, int n) {
    Count *one = calloc(1, sizeof *one);
    one->name = strdup(name);
    one->count = n, one->next = counts, counts = one;
}
int stub_parameters(const char *name) {
    for (Count *one = counts; one; one = one->next)
        if (!strcmp(one->name, name)) return one->count;
    return 0;
}
int cuStreamBeginCapture(void *s, int mode) {
    capturing = calloc(1, sizeof *capturing);
    capturing->last = &capturing->first;
    return OK;
}
int cuStreamEndCapture(void *s, void **graph) { *graph = capturing, capturing = NULL; return *graph ? OK : INVALID_VALUE; }
int cuGraphInstantiateWithFlags(void **program, void *graph, unsigned long long flags) { *program = graph; return OK; }
int cuGraphDestroy(void *graph) { return OK; }
int cuGraphExecDestroy(void *graph) { return OK; }
int cuGraphLaunch(void *program, void *s) {
    for (Launch *one = ((Graph *)program)->first; one; one = one->next) {
        void *addresses[1024];
        if (!one->kernel) {
            if (one->size && !is_within(one->address, one->size)) return INVALID_VALUE;
            memset((void *)one->address, one->byte, one->size);
            continue;
        }
        for (int i = 0; i < one->count; i++) addresses[i] = one->values + i;
        if (failed) return ILLEGAL_ADDRESS;
        one->kernel->run(addresses, one->grid, one->block);
    }
    return OK;
}
int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
    static void *self;
    Dl_info info;
    if (!self && dladdr((void *)cuGetProcAddress_v2, &info)) self = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *function = dlsym(self, strcmp(name, "cuGetProcAddress") ? name : "cuGetProcAddress_v2");
    if (status) *status = *function ? 0 : 1;
    if (!*function && getenv("STUB_SAY")) fprintf(stderr, "stub: no %s\n", name);
    return *function ? OK : NOT_FOUND;
}
int cuGetProcAddress(const char *name, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(name, function, version, flags, NULL);
}
