//! The numbers of the models: small, made by rule, the same in every run.
//!
//! The image model is no learned one. Its first layer turns colours into opponents and edges, its second smooths
//! and mixes them, its last asks where red is far above blue; that finds the generated objects, and costs what a
//! first stage of this size costs.

use crate::random;

/// Channels of both hidden layers.
pub(crate) const CHANNELS: u32 = 8;

/// `[out][in][3][3]` and a bias an output: opponents and edges.
pub(crate) fn first_layer() -> Vec<f32> {
    const MEAN: [f32; 9] = [1.0 / 9.0; 9];
    const ACROSS: [f32; 9] = [-0.25, 0.0, 0.25, -0.5, 0.0, 0.5, -0.25, 0.0, 0.25];
    const DOWN: [f32; 9] = [-0.25, -0.5, -0.25, 0.0, 0.0, 0.0, 0.25, 0.5, 0.25];
    const SPOT: [f32; 9] = [0.0, -0.25, 0.0, -0.25, 1.0, -0.25, 0.0, -0.25, 0.0];
    let grey = [1.0 / 3.0; 3];
    // What each channel takes of red, green and blue, through which window.
    let rules: [([f32; 3], [f32; 9]); CHANNELS as usize] = [
        ([1.0, 0.0, -1.0], MEAN),
        ([-1.0, 0.0, 1.0], MEAN),
        ([-0.5, 1.0, -0.5], MEAN),
        (grey, ACROSS),
        (grey.map(|share| -share), ACROSS),
        (grey, DOWN),
        (grey.map(|share| -share), DOWN),
        (grey, SPOT),
    ];
    let mut weights: Vec<f32> = rules
        .iter()
        .flat_map(|(shares, window)| shares.iter().flat_map(move |share| window.iter().map(move |w| w * share)))
        .collect();
    weights.extend([0.0; CHANNELS as usize]);
    weights
}

/// `[out][in][3][3]` and a bias an output: each channel smoothed, and a little of the others.
pub(crate) fn second_layer() -> Vec<f32> {
    let mut weights = Vec::new();
    for out in 0..CHANNELS {
        for input in 0..CHANNELS {
            let share = if out == input { 1.0 / 9.0 } else { 0.0 };
            let blue = if out == 0 && input == 1 { -1.0 / 9.0 } else { 0.0 };
            weights.extend([share + blue; 9]);
        }
    }
    weights.extend([0.0; CHANNELS as usize]);
    weights
}

/// One weight a channel and a bias: warm enough, and not for its edges alone.
pub(crate) fn last_layer() -> Vec<f32> {
    let mut weights = vec![0.0; CHANNELS as usize];
    weights[0] = 1.0;
    weights[1] = -1.0;
    weights.push(-1.0);
    weights
}

/// `count` weights in [-0.5, 0.5) of the training model.
pub(crate) fn random_layer(seed: u64, count: usize) -> Vec<f32> {
    (0..count as u64).map(|index| (random::unit(seed, index) - 0.5) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_have_the_size_that_the_kernels_read() {
        let channels = CHANNELS as usize;
        assert_eq!(first_layer().len(), channels * 3 * 9 + channels);
        assert_eq!(second_layer().len(), channels * channels * 9 + channels);
        assert_eq!(last_layer().len(), channels + 1);
    }
}
