// The kernels as functions of this processor, launched as the driver launches them: a list of pointers to the
// arguments, a number of threads.
#include <utility>

#include "perception.cu"
#include "training.cu"

template <class... Parameters, std::size_t... Index>
static void each_thread(void (*kernel)(Parameters...), u32 threads, void** arguments, std::index_sequence<Index...>) {
    for (u32 i = 0; i < threads; i++) {
        current_thread = i;
        kernel(*static_cast<Parameters*>(arguments[Index])...);
    }
}

template <class... Parameters>
static bool launch(void (*kernel)(Parameters...), u32 threads, void** arguments, u32 count) {
    if (count != sizeof...(Parameters)) return false;
    each_thread(kernel, threads, arguments, std::index_sequence_for<Parameters...>{});
    return true;
}

// Runs the kernel with this number, in the order of `Kernel` in device/kernel.rs. False when there is none, or when
// it takes another number of arguments.
extern "C" bool rfuse_resim_launch(u32 kernel, u32 threads, void** arguments, u32 count) {
    switch (kernel) {
        case 0: return launch(voxel_count, threads, arguments, count);
        case 1: return launch(column_occupied, threads, arguments, count);
        case 2: return launch(label_join, threads, arguments, count);
        case 3: return launch(cluster_number, threads, arguments, count);
        case 4: return launch(cluster_points, threads, arguments, count);
        case 5: return launch(cluster_cells, threads, arguments, count);
        case 6: return launch(image_normalise, threads, arguments, count);
        case 7: return launch(convolve3, threads, arguments, count);
        case 8: return launch(heat_occupied, threads, arguments, count);
        case 9: return launch(embed_mean, threads, arguments, count);
        case 10: return launch(dense, threads, arguments, count);
        case 11: return launch(word_sum, threads, arguments, count);
        default: return false;
    }
}
