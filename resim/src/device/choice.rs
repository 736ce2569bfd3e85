//! Which device is used: what a person asked for, and what the machine has.

use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use super::cuda::{self, CudaDevice};
use super::host::HostLane;
use super::{DeviceError, Lane};

/// What `--device` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    /// The first GPU, or this processor where there is none.
    Auto,
    /// This GPU and no other.
    Cuda(usize),
    /// This processor.
    Cpu,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "it is none of auto, cpu, cuda:0, cuda:1, …".to_owned()),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Cpu => f.write_str("cpu"),
        }
    }
}

/// A device that lanes can be opened on.
pub(crate) enum Device {
    /// This processor; the clock starts here.
    Host(Instant),
    /// A GPU.
    Cuda(CudaDevice),
}

impl Device {
    /// Opens what was asked for.
    ///
    /// # Errors
    /// A GPU was asked for by number and is not there, or does not take the kernels.
    pub(crate) fn open(choice: Choice) -> Result<Self, DeviceError> {
        match choice {
            Choice::Cpu => Ok(Self::Host(Instant::now())),
            Choice::Cuda(number) => CudaDevice::open(number).map(Self::Cuda),
            Choice::Auto if cuda::count() > 0 => CudaDevice::open(0).map(Self::Cuda),
            Choice::Auto => Ok(Self::Host(Instant::now())),
        }
    }

    /// A new queue of work.
    ///
    /// # Errors
    /// The GPU refuses.
    pub(crate) fn lane(&self) -> Result<Lane, DeviceError> {
        match self {
            Self::Host(epoch) => Ok(Lane::Host(HostLane::new(*epoch))),
            Self::Cuda(device) => device.lane().map(|lane| Lane::Cuda(Box::new(lane))),
        }
    }

    /// What to call it in a report: `cpu`, or the GPU's number and name.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Host(_) => "cpu".to_owned(),
            Self::Cuda(device) => device.name().to_owned(),
        }
    }

    /// Whether it is a GPU.
    pub(crate) fn is_gpu(&self) -> bool {
        matches!(self, Self::Cuda(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_spelled_as_people_spell_them() {
        assert_eq!("auto".parse(), Ok(Choice::Auto));
        assert_eq!("cuda:3".parse(), Ok(Choice::Cuda(3)));
        assert_eq!("cuda".parse(), Ok(Choice::Cuda(0)));
        for wrong in ["gpu", "cuda:", "cuda:x", ""] {
            assert!(wrong.parse::<Choice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_a_gpu_auto_is_this_processor_and_a_number_is_an_error() {
        if cuda::count() > 0 {
            return;
        }
        assert!(!Device::open(Choice::Auto).unwrap().is_gpu());
        let error = Device::open(Choice::Cuda(0)).err().unwrap().to_string();
        assert!(error.contains("CUDA driver"), "{error}");
    }
}
