//! The real binary, as a shell would call it.

#[cfg(test)]
mod killed;
#[cfg(test)]
mod mount_points;
#[cfg(test)]
mod mounting;
#[cfg(test)]
mod names;
#[cfg(test)]
mod network;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod support;
#[cfg(test)]
mod system;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod top;
#[cfg(test)]
mod users;
#[cfg(test)]
mod warming;
#[cfg(test)]
mod words;
