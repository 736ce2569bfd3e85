//! Compiles the perception and training kernels for this processor: the same source that NVRTC turned into the
//! embedded PTX, so that what runs on a GPU is executed where there is none.

fn main() {
    println!("cargo::rerun-if-changed=kernels");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file("kernels/host.cpp")
        // No library of C++ is needed: no exceptions, no memory, no streams.
        .cpp_link_stdlib(None)
        .flag("-fno-exceptions")
        .flag("-fno-rtti")
        // A fused multiply-add rounds once where the GPU code rounds twice.
        .flag("-ffp-contract=off")
        // Tests replay real logs: the kernels are optimised in every profile.
        .opt_level(3)
        .warnings(true)
        .compile("rfuse_resim_kernels");
}
