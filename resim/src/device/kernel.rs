//! The kernels by name, and the PTX they were compiled to.
//!
//! `cargo xtask kernels` makes the PTX with NVRTC; it is checked in so that building needs neither NVRTC nor CUDA. A
//! test holds it to the sources it was made from, and CI compiles it again and compares.

/// A kernel of `kernels/*.cu`; the order is that of `kernels/host.cpp`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kernel {
    /// Points into voxels.
    VoxelCount,
    /// Voxels into occupied columns.
    ColumnOccupied,
    /// Neighbouring cells into components.
    LabelJoin,
    /// Components into numbers.
    ClusterNumber,
    /// Points into the boxes of their components.
    ClusterPoints,
    /// Cells into the boxes of their components.
    ClusterCells,
    /// Pixels into planes.
    ImageNormalise,
    /// A convolution of 3 × 3.
    Convolve3,
    /// A convolution of 1 × 1 into occupied cells.
    HeatOccupied,
    /// Tokens into the mean of their embeddings.
    EmbedMean,
    /// A dense layer.
    Dense,
    /// The sum of words.
    WordSum,
}

/// PTX of `kernels/perception.cu` and `kernels/training.cu`.
pub(super) const PTX: [&str; 2] =
    [include_str!("../../kernels/perception.ptx"), include_str!("../../kernels/training.ptx")];

impl Kernel {
    /// Every kernel, in the order of their numbers.
    pub(super) const ALL: [Self; 12] = [
        Self::VoxelCount,
        Self::ColumnOccupied,
        Self::LabelJoin,
        Self::ClusterNumber,
        Self::ClusterPoints,
        Self::ClusterCells,
        Self::ImageNormalise,
        Self::Convolve3,
        Self::HeatOccupied,
        Self::EmbedMean,
        Self::Dense,
        Self::WordSum,
    ];

    /// The name in the source.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::VoxelCount => "voxel_count",
            Self::ColumnOccupied => "column_occupied",
            Self::LabelJoin => "label_join",
            Self::ClusterNumber => "cluster_number",
            Self::ClusterPoints => "cluster_points",
            Self::ClusterCells => "cluster_cells",
            Self::ImageNormalise => "image_normalise",
            Self::Convolve3 => "convolve3",
            Self::HeatOccupied => "heat_occupied",
            Self::EmbedMean => "embed_mean",
            Self::Dense => "dense",
            Self::WordSum => "word_sum",
        }
    }

    /// Which of [`PTX`] holds it.
    pub(super) fn module(self) -> usize {
        usize::from(self as usize >= Self::EmbedMean as usize)
    }

    /// How many arguments it takes.
    pub(crate) fn arguments(self) -> usize {
        match self {
            Self::WordSum | Self::LabelJoin => 4,
            Self::ClusterCells | Self::HeatOccupied | Self::Dense => 5,
            Self::ColumnOccupied | Self::ImageNormalise | Self::ClusterNumber => 6,
            Self::ClusterPoints | Self::EmbedMean => 7,
            Self::Convolve3 => 8,
            Self::VoxelCount => 9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// The hash that `cargo xtask kernels` writes into the first line of a PTX file.
    fn source_hash(sources: &[&str]) -> String {
        let mut hash = Sha256::new();
        for source in sources {
            hash.update(source.as_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_embedded_ptx_was_made_from_these_sources() {
        let shim = include_str!("../../kernels/shim.h");
        let sources = [include_str!("../../kernels/perception.cu"), include_str!("../../kernels/training.cu")];
        for (ptx, source) in PTX.iter().zip(sources) {
            let first = ptx.lines().next().unwrap();
            assert_eq!(
                first,
                format!("// made by cargo xtask kernels from {}", source_hash(&[shim, source])),
                "run cargo xtask kernels"
            );
        }
    }

    #[test]
    fn nothing_in_the_ptx_rounds_in_another_way_than_the_processor() {
        for ptx in PTX {
            assert!(!ptx.contains("fma."), "a fused multiply-add rounds once");
            for word in ["add.f32", "mul.f32", "div.approx", "div.full", ".ftz"] {
                assert!(!ptx.contains(word), "{word} leaves the rounding open");
            }
        }
    }

    #[test]
    fn every_kernel_has_an_entry_with_its_arguments_in_the_ptx() {
        for kernel in Kernel::ALL {
            let head = format!(".visible .entry {}(", kernel.name());
            let entry = PTX[kernel.module()].split(&head).nth(1).unwrap_or_else(|| panic!("no {kernel:?}"));
            let parameters = entry.split(')').next().unwrap().matches(".param").count();
            assert_eq!(parameters, kernel.arguments(), "{kernel:?}");
        }
    }
}
