//! Which requests go wrong, and how. The n-th request with the same seed always meets the same fate.

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// 503, as a store under load answers.
    Unavailable,
    /// 500.
    Internal,
    /// The connection is reset before a byte of the answer.
    Reset,
    /// The head promises the whole body, half of it comes, then the connection ends.
    Truncated,
    /// 206 with the bytes of another range, said so in `Content-Range`.
    WrongRange,
}

impl Fault {
    /// All of them, equally likely.
    pub const ALL: [Self; 5] = [Self::Unavailable, Self::Internal, Self::Reset, Self::Truncated, Self::WrongRange];

    /// The fate of request `number`: `share` of all numbers get a fault.
    pub fn of(seed: u64, number: u64, share: f64) -> Option<Self> {
        let hash = mix(seed ^ mix(number));
        let hit = ((hash >> 11) as f64) < share * (1u64 << 53) as f64;
        hit.then(|| Self::ALL[(mix(hash) % Self::ALL.len() as u64) as usize])
    }
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_faults_is_met_and_every_kind_occurs() {
        let fates: Vec<_> = (0..100_000).filter_map(|number| Fault::of(3, number, 0.05)).collect();
        assert!((4_700..5_300).contains(&fates.len()), "{}", fates.len());
        for kind in Fault::ALL {
            assert!(fates.iter().filter(|fault| **fault == kind).count() > 800);
        }
        assert!((0..1000).all(|number| Fault::of(3, number, 0.0).is_none()));
        assert!((0..1000).all(|number| Fault::of(3, number, 1.0).is_some()));
    }

    #[test]
    fn the_same_seed_gives_the_same_fates() {
        let fates = |seed| (0..1000).map(|number| Fault::of(seed, number, 0.3)).collect::<Vec<_>>();
        assert_eq!(fates(9), fates(9));
        assert_ne!(fates(9), fates(10));
    }
}
