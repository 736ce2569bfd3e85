// Perception: a lidar scan becomes clusters, a camera image becomes blobs, both by the same labelling.
//
// Scan: points -> voxels -> occupied columns -> connected components -> a box a component.
// Image: pixels -> normalised planes -> three convolutions -> heat -> the same components and boxes.
#include "shim.h"

// A component's box. All fields are whole numbers that start at zero, so that clearing memory prepares them and
// the order of threads does not matter: millimetres for scans, cells for images, shifted to be positive.
struct Cluster {
    u64 sum_x;
    u64 sum_y;
    u64 sum_z;
    u32 root;
    u32 count;
    u32 high_x;
    u32 high_y;
    u32 high_z;
    u32 low_x;
    u32 low_y;
    u32 low_z;
};

// 2^20 mm: farther than any lidar sees. `low` fields hold SHIFT - value.
#define SHIFT 1048576

INLINE void widen(Cluster* cluster, i32 x, i32 y, i32 z) {
    atomic_add(&cluster->count, 1u);
    atomic_add(&cluster->sum_x, (u64)(x + SHIFT));
    atomic_add(&cluster->sum_y, (u64)(y + SHIFT));
    atomic_add(&cluster->sum_z, (u64)(z + SHIFT));
    atomic_max(&cluster->high_x, (u32)(x + SHIFT));
    atomic_max(&cluster->high_y, (u32)(y + SHIFT));
    atomic_max(&cluster->high_z, (u32)(z + SHIFT));
    atomic_max(&cluster->low_x, (u32)(SHIFT - x));
    atomic_max(&cluster->low_y, (u32)(SHIFT - y));
    atomic_max(&cluster->low_z, (u32)(SHIFT - z));
}

// The cell of a coordinate, or NONE outside of the grid and for what is no number.
INLINE u32 cell_of(f32 value, f32 origin, f32 cells_a_metre, u32 cells) {
    f32 cell = floor_of((value - origin) * cells_a_metre);
    return cell >= 0.0f && cell < (f32)cells ? (u32)cell : NONE;
}

// Counts points (x, y, z, intensity) into voxels and remembers the column of each point.
KERNEL voxel_count(const f32* points, u32 count, f32 origin_xy, f32 origin_z, f32 cells_a_metre, u32 side,
                   u32 layers, u32* voxels, u32* columns) {
    u32 i = thread_index();
    if (i >= count) return;
    u32 x = cell_of(points[4 * i], origin_xy, cells_a_metre, side);
    u32 y = cell_of(points[4 * i + 1], origin_xy, cells_a_metre, side);
    u32 z = cell_of(points[4 * i + 2], origin_z, cells_a_metre, layers);
    if (x == NONE || y == NONE || z == NONE) {
        columns[i] = NONE;
        return;
    }
    columns[i] = y * side + x;
    atomic_add(&voxels[(z * side + y) * side + x], 1u);
}

// A column with enough points above the ground is a component of its own, for now.
KERNEL column_occupied(const u32* voxels, u32 cells, u32 layer_from, u32 layers, u32 enough, u32* parents) {
    u32 i = thread_index();
    if (i >= cells) return;
    u32 points = 0;
    for (u32 z = layer_from; z < layers; z++) points += voxels[z * cells + i];
    parents[i] = points >= enough ? i : NONE;
}

INLINE u32 root_of(const u32* parents, u32 i) {
    u32 parent = atomic_load(&parents[i]);
    while (parent != i) {
        i = parent;
        parent = atomic_load(&parents[i]);
    }
    return i;
}

// Joins two components under the smaller index: whatever the order, the root of a component is its least cell.
INLINE void join(u32* parents, u32 a, u32 b) {
    for (;;) {
        a = root_of(parents, a);
        b = root_of(parents, b);
        if (a == b) return;
        if (a < b) {
            u32 swap = a;
            a = b;
            b = swap;
        }
        u32 old = atomic_min(&parents[a], b);
        if (old == a) return;
        a = old;
    }
}

// Joins each occupied cell with those of its neighbours up to `radius` away that come before it.
KERNEL label_join(u32* parents, u32 width, u32 height, u32 radius) {
    u32 i = thread_index();
    if (i >= width * height || atomic_load(&parents[i]) == NONE) return;
    i32 x = (i32)(i % width);
    i32 y = (i32)(i / width);
    i32 reach = (i32)radius;
    for (i32 dy = -reach; dy <= 0; dy++) {
        for (i32 dx = -reach; dx <= reach; dx++) {
            i32 nx = x + dx;
            i32 ny = y + dy;
            if ((dy == 0 && dx >= 0) || nx < 0 || nx >= (i32)width || ny < 0) continue;
            u32 other = (u32)ny * width + (u32)nx;
            if (atomic_load(&parents[other]) != NONE) join(parents, i, other);
        }
    }
}

// Numbers the roots. The numbers depend on the order of threads, the roots do not: the host sorts by root.
KERNEL cluster_number(const u32* parents, u32 cells, u32* slots, u32* counter, Cluster* clusters, u32 most) {
    u32 i = thread_index();
    if (i >= cells || parents[i] != i) return;
    u32 slot = atomic_add(counter, 1u);
    slots[i] = slot < most ? slot : NONE;
    if (slot < most) clusters[slot].root = i;
}

// Adds each point above the ground to the cluster of its column.
KERNEL cluster_points(const f32* points, u32 count, f32 ground, const u32* columns, const u32* parents,
                      const u32* slots, Cluster* clusters) {
    u32 i = thread_index();
    if (i >= count || columns[i] == NONE || !(points[4 * i + 2] >= ground)) return;
    u32 column = columns[i];
    if (parents[column] == NONE) return;
    u32 slot = slots[root_of(parents, column)];
    if (slot == NONE) return;
    widen(&clusters[slot], (i32)floor_of(points[4 * i] * 1000.0f + 0.5f),
          (i32)floor_of(points[4 * i + 1] * 1000.0f + 0.5f), (i32)floor_of(points[4 * i + 2] * 1000.0f + 0.5f));
}

// Adds each occupied cell of an image to its blob.
KERNEL cluster_cells(const u32* parents, u32 width, u32 height, const u32* slots, Cluster* clusters) {
    u32 i = thread_index();
    if (i >= width * height || parents[i] == NONE) return;
    u32 slot = slots[root_of(parents, i)];
    if (slot == NONE) return;
    widen(&clusters[slot], (i32)(i % width), (i32)(i / width), 0);
}

// Interleaved 8-bit RGB becomes three planes of (mean of a square of pixels - 0.5) / 0.25.
KERNEL image_normalise(const u8* pixels, u32 width, u32 square, u32 out_width, u32 out_height, f32* planes) {
    u32 i = thread_index();
    if (i >= out_width * out_height) return;
    u32 left = i % out_width * square;
    u32 top = i / out_width * square;
    for (u32 channel = 0; channel < 3; channel++) {
        u32 sum = 0;
        for (u32 y = top; y < top + square; y++) {
            for (u32 x = left; x < left + square; x++) sum += pixels[(y * width + x) * 3 + channel];
        }
        f32 mean = (f32)sum / ((f32)(square * square) * 255.0f);
        planes[channel * out_width * out_height + i] = (mean - 0.5f) * 4.0f;
    }
}

// 3 x 3 convolution with zeros beyond the border, then max(0, x). One thread an output value; weights are
// [out][in][3][3], followed by a bias an output channel.
KERNEL convolve3(const f32* input, u32 in_channels, u32 width, u32 height, u32 stride, const f32* weights,
                 u32 out_channels, f32* output) {
    u32 out_width = (width + stride - 1) / stride;
    u32 out_height = (height + stride - 1) / stride;
    u32 cells = out_width * out_height;
    u32 i = thread_index();
    if (i >= cells * out_channels) return;
    u32 channel = i / cells;
    i32 x = (i32)(i % cells % out_width * stride);
    i32 y = (i32)(i % cells / out_width * stride);
    f32 sum = weights[out_channels * in_channels * 9 + channel];
    for (u32 in = 0; in < in_channels; in++) {
        const f32* plane = input + in * width * height;
        const f32* weight = weights + (channel * in_channels + in) * 9;
        for (i32 dy = -1; dy <= 1; dy++) {
            i32 py = y + dy;
            if (py < 0 || py >= (i32)height) continue;
            for (i32 dx = -1; dx <= 1; dx++) {
                i32 px = x + dx;
                if (px < 0 || px >= (i32)width) continue;
                sum += plane[(u32)py * width + (u32)px] * weight[(dy + 1) * 3 + dx + 1];
            }
        }
    }
    output[i] = sum > 0.0f ? sum : 0.0f;
}

// 1 x 1 convolution to one channel; a cell hotter than zero is a component of its own, for now.
KERNEL heat_occupied(const f32* input, u32 channels, u32 cells, const f32* weights, u32* parents) {
    u32 i = thread_index();
    if (i >= cells) return;
    f32 sum = weights[channels];
    for (u32 channel = 0; channel < channels; channel++) sum += input[channel * cells + i] * weights[channel];
    parents[i] = sum > 0.0f ? i : NONE;
}
