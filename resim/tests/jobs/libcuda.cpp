// A CUDA driver that does as it is told: the calls the jobs make, over this processor.
//
// What a GPU decides is decided here as unkindly as the manual allows: work waits in its stream until somebody waits
// for it, so a program that touches memory too early gets wrong answers; addresses are checked; fresh memory holds
// rubbish; threads are launched by whole blocks. Kernels are the host build of the same sources, looked up by name
// in the PTX that is loaded.
//
// RFUSE_TEST_DRIVER says what goes wrong, as words apart by commas: absent, old, memory=BYTES, lost=LAUNCHES.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "../../kernels/host.cpp"

#define DRIVER extern "C" __attribute__((visibility("default"))) int

namespace {

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101,
       UNSUPPORTED_PTX = 222, NOT_FOUND = 500, NOT_READY = 600, LAUNCH_FAILED = 719 };

const char* NAMES[] = {"voxel_count", "column_occupied", "label_join", "cluster_number", "cluster_points",
                       "cluster_cells", "image_normalise", "convolve3", "heat_occupied", "embed_mean", "dense",
                       "word_sum"};

struct Stream {
    std::deque<std::function<void()>> work;
};

struct Event {
    Stream* stream = nullptr;
    bool done = true;
    double at = 0;
};

struct Function {
    u32 kernel;
    u32 parameters;
};

std::recursive_mutex door;
Stream null_stream;
std::map<u64, size_t> memory;
std::map<u64, size_t> pinned;
u64 used = 0, launches = 0;
bool lost = false;

using Lock = std::lock_guard<std::recursive_mutex>;

// The number that the script gives a word; `none` when it does not have it.
u64 told(const char* word, u64 none) {
    const char* script = std::getenv("RFUSE_TEST_DRIVER");
    const char* at = script ? std::strstr(script, word) : nullptr;
    if (!at) return none;
    at += std::strlen(word);
    return *at == '=' ? std::strtoull(at + 1, nullptr, 10) : 1;
}

double now() {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Stream& of(void* stream) { return stream ? *static_cast<Stream*>(stream) : null_stream; }

int run(Stream& stream) {
    while (!stream.work.empty()) {
        auto next = std::move(stream.work.front());
        stream.work.pop_front();
        next();
    }
    return lost ? LAUNCH_FAILED : SUCCESS;
}

bool inside(const std::map<u64, size_t>& blocks, u64 at, size_t bytes) {
    auto next = blocks.upper_bound(at);
    if (next == blocks.begin()) return false;
    const auto& [start, length] = *std::prev(next);
    return at + bytes <= start + length;
}

int take(u64* at, size_t bytes, std::map<u64, size_t>& blocks) {
    u64 most = told("memory", ~0ull);
    if (used + bytes > most) return OUT_OF_MEMORY;
    void* fresh = std::malloc(bytes);
    std::memset(fresh, 0xa5, bytes);
    used += bytes;
    *at = reinterpret_cast<u64>(fresh);
    blocks[*at] = bytes;
    return SUCCESS;
}

int give_back(u64 at, std::map<u64, size_t>& blocks) {
    auto block = blocks.find(at);
    if (block == blocks.end()) return INVALID_VALUE;
    used -= block->second;
    std::free(reinterpret_cast<void*>(at));
    blocks.erase(block);
    return SUCCESS;
}

}  // namespace

DRIVER cuInit(unsigned) { return told("absent", 0) ? NO_DEVICE : SUCCESS; }
DRIVER cuDeviceGetCount(int* count) { *count = 1; return SUCCESS; }
DRIVER cuDeviceGet(int* device, int ordinal) { *device = ordinal; return ordinal == 0 ? SUCCESS : INVALID_DEVICE; }
DRIVER cuDeviceGetName(char* name, int length, int) { std::strncpy(name, "Scripted", length); return SUCCESS; }
DRIVER cuDeviceGetAttribute(int* value, int, int) { *value = 0; return SUCCESS; }
DRIVER cuDevicePrimaryCtxRetain(void** context, int) { *context = &null_stream; return SUCCESS; }
DRIVER cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
DRIVER cuCtxSetCurrent(void*) { return SUCCESS; }
DRIVER cuCtxGetCurrent(void** context) { *context = &null_stream; return SUCCESS; }
DRIVER cuCtxSynchronize() { return SUCCESS; }
DRIVER cuGetErrorName(int, const char** name) { *name = "scripted"; return SUCCESS; }
DRIVER cuGetErrorString(int, const char** text) { *text = "scripted"; return SUCCESS; }

DRIVER cuModuleLoadData(void** module, const void* image) {
    if (told("old", 0)) return UNSUPPORTED_PTX;
    *module = new std::string(static_cast<const char*>(image));
    return SUCCESS;
}
DRIVER cuModuleUnload(void* module) { delete static_cast<std::string*>(module); return SUCCESS; }
DRIVER cuModuleGetFunction(void** function, void* module, const char* name) {
    const std::string& ptx = *static_cast<std::string*>(module);
    size_t entry = ptx.find(".visible .entry " + std::string(name) + "(");
    if (entry == std::string::npos) return NOT_FOUND;
    size_t end = ptx.find(')', entry);
    u32 parameters = 0;
    for (size_t at = ptx.find(".param", entry); at < end; at = ptx.find(".param", at + 1)) parameters++;
    for (u32 kernel = 0; kernel < sizeof NAMES / sizeof *NAMES; kernel++) {
        if (std::strcmp(NAMES[kernel], name) == 0) {
            *function = new Function{kernel, parameters};
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}

DRIVER cuStreamCreate(void** stream, unsigned) { *stream = new Stream; return SUCCESS; }
DRIVER cuStreamDestroy_v2(void* stream) {
    Lock lock(door);
    int outcome = run(of(stream));
    delete static_cast<Stream*>(stream);
    return outcome;
}
DRIVER cuStreamSynchronize(void* stream) { Lock lock(door); return run(of(stream)); }

DRIVER cuEventCreate(void** event, unsigned) { *event = new Event; return SUCCESS; }
DRIVER cuEventDestroy_v2(void* event) {
    Lock lock(door);
    Event* ended = static_cast<Event*>(event);
    if (!ended->done) run(*ended->stream);
    delete ended;
    return SUCCESS;
}
DRIVER cuEventRecord(void* event, void* stream) {
    Lock lock(door);
    Event* recorded = static_cast<Event*>(event);
    recorded->stream = &of(stream);
    recorded->done = false;
    of(stream).work.push_back([recorded] { recorded->done = true; recorded->at = now(); });
    return SUCCESS;
}
DRIVER cuEventSynchronize(void* event) {
    Lock lock(door);
    Event* awaited = static_cast<Event*>(event);
    return awaited->done ? (lost ? LAUNCH_FAILED : SUCCESS) : run(*awaited->stream);
}
DRIVER cuEventElapsedTime(float* ms, void* from, void* to) {
    Lock lock(door);
    const Event *start = static_cast<Event*>(from), *end = static_cast<Event*>(to);
    if (!start->done || !end->done) return NOT_READY;
    *ms = static_cast<float>(end->at - start->at);
    return SUCCESS;
}

DRIVER cuMemAlloc_v2(u64* at, size_t bytes) { Lock lock(door); return take(at, bytes, memory); }
DRIVER cuMemFree_v2(u64 at) { Lock lock(door); return give_back(at, memory); }
DRIVER cuMemHostAlloc(void** at, size_t bytes, unsigned) {
    Lock lock(door);
    return take(reinterpret_cast<u64*>(at), bytes, pinned);
}
DRIVER cuMemFreeHost(void* at) { Lock lock(door); return give_back(reinterpret_cast<u64>(at), pinned); }
DRIVER cuMemGetInfo_v2(size_t* unused, size_t* total) {
    *total = told("memory", 1ull << 40);
    *unused = *total - used;
    return SUCCESS;
}
DRIVER cuMemsetD8Async(u64 at, unsigned char value, size_t bytes, void* stream) {
    Lock lock(door);
    if (!inside(memory, at, bytes)) return INVALID_VALUE;
    of(stream).work.push_back([=] { std::memset(reinterpret_cast<void*>(at), value, bytes); });
    return SUCCESS;
}
DRIVER cuMemcpyHtoDAsync_v2(u64 to, const void* from, size_t bytes, void* stream) {
    Lock lock(door);
    if (!inside(memory, to, bytes) || !inside(pinned, reinterpret_cast<u64>(from), bytes)) return INVALID_VALUE;
    of(stream).work.push_back([=] { std::memcpy(reinterpret_cast<void*>(to), from, bytes); });
    return SUCCESS;
}
DRIVER cuMemcpyDtoHAsync_v2(void* to, u64 from, size_t bytes, void* stream) {
    Lock lock(door);
    if (!inside(memory, from, bytes) || !inside(pinned, reinterpret_cast<u64>(to), bytes)) return INVALID_VALUE;
    of(stream).work.push_back([=] { std::memcpy(to, reinterpret_cast<void*>(from), bytes); });
    return SUCCESS;
}

DRIVER cuLaunchKernel(void* function, unsigned blocks, unsigned, unsigned, unsigned threads, unsigned, unsigned,
                      unsigned, void* stream, void** arguments, void**) {
    Lock lock(door);
    const Function launched = *static_cast<Function*>(function);
    if (++launches > told("lost", ~0ull)) lost = true;
    if (lost) return LAUNCH_FAILED;
    // The driver copies the arguments before it returns; none is longer than a pointer.
    std::vector<u64> values(launched.parameters);
    for (u32 i = 0; i < launched.parameters; i++) std::memcpy(&values[i], arguments[i], sizeof(u64));
    of(stream).work.push_back([launched, values, blocks, threads]() mutable {
        std::vector<void*> pointers;
        for (u64& value : values) pointers.push_back(&value);
        if (!rfuse_resim_launch(launched.kernel, blocks * threads, pointers.data(), launched.parameters)) std::abort();
    });
    return SUCCESS;
}
