//! Which instruction set the kernels use: the best this machine has, or the one `TLENGINE_ISA` names.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Instruction sets with kernels of their own, from the portable one upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust; runs everywhere and is the reference of every test.
    Scalar,
    /// 128-bit Arm vectors.
    Neon,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors (F, BW, DQ, VL).
    Avx512,
    /// 512-bit vectors and 8-bit dot products.
    Avx512Vnni,
}

impl Isa {
    /// Every instruction set, in order.
    pub const ALL: [Isa; 5] = [Isa::Scalar, Isa::Neon, Isa::Avx2, Isa::Avx512, Isa::Avx512Vnni];

    /// The name used by `TLENGINE_ISA`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Vnni => "vnni",
        }
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => Isa::Avx512.is_available() && is_x86_feature_detected!("avx512vnni"),
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// The instruction set in use: `TLENGINE_ISA` where set, else the best available one.
    /// The choice is made once per process. Nobody waits for it: in the child of a fork the thread that
    /// was making it would not exist.
    pub fn current() -> Result<Isa> {
        static CHOICE: AtomicUsize = AtomicUsize::new(usize::MAX);
        if let Some(isa) = Self::ALL.get(CHOICE.load(Ordering::Relaxed)) {
            return Ok(*isa);
        }
        let isa = choose()?;
        CHOICE.store(isa as usize, Ordering::Relaxed);
        Ok(isa)
    }
}

fn choose() -> Result<Isa> {
    let available = || Isa::ALL.into_iter().filter(|isa| isa.is_available());
    let Ok(wanted) = std::env::var("TLENGINE_ISA") else {
        return Ok(available().next_back().unwrap_or(Isa::Scalar));
    };
    available().find(|isa| isa.name() == wanted).ok_or_else(|| {
        let names: Vec<_> = available().map(Isa::name).collect();
        let names = names.join(", ");
        Error::Invalid(format!(
            "TLENGINE_ISA={wanted} is not available here; this machine has {names}"
        ))
    })
}
