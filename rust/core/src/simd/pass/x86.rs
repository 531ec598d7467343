//! The vectors of x86: 256 and 512 bits.

use std::arch::x86_64::*;

use super::vector::Vector;

/// Eight floats.
#[derive(Clone, Copy)]
pub struct F32x8(__m256);
/// Four doubles.
#[derive(Clone, Copy)]
pub struct F64x4(__m256d);
/// Sixteen floats.
#[derive(Clone, Copy)]
pub struct F32x16(__m512);
/// Eight doubles.
#[derive(Clone, Copy)]
pub struct F64x8(__m512d);

/// The methods that differ only in the prefix and suffix of their intrinsic.
macro_rules! common {
    ($wrap:ident, $elem:ty, $lanes:expr, $columns:expr, $set1:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $fma:ident, $max:ident) => {
        type Elem = $elem;
        const LANES: usize = $lanes;
        const COLUMNS: usize = $columns;
        #[inline(always)]
        unsafe fn splat(value: $elem) -> Self {
            // SAFETY: the caller vouches for the instruction set; so below.
            Self(unsafe { $set1(value) })
        }
        #[inline(always)]
        unsafe fn load(from: *const $elem) -> Self {
            // SAFETY: the caller vouches for LANES elements.
            Self(unsafe { $load(from) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut $elem) {
            // SAFETY: the caller vouches for LANES elements.
            unsafe { $store(to, self.0) }
        }
        #[inline(always)]
        unsafe fn prefetch(at: *const $elem) {
            // SAFETY: a hint, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { $add(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { $sub(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { $mul(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn div(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { $div(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn fma(self, a: Self, b: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { $fma(self.0, a.0, b.0) })
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { $max(self.0, other.0) })
        }
    };
}

// SAFETY: used only by kernels compiled for AVX2 and FMA and called where both are available.
unsafe impl Vector for F32x8 {
    common!(
        F32x8,
        f32,
        8,
        3,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_div_ps,
        _mm256_fmadd_ps,
        _mm256_max_ps
    );
    #[inline(always)]
    unsafe fn nearest(self) -> Self {
        // SAFETY: AVX2.
        Self(unsafe {
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)
        })
    }
    #[inline(always)]
    unsafe fn pow2(self) -> Self {
        // SAFETY: AVX2.
        unsafe {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), _mm256_set1_epi32(127));
            Self(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
        }
    }
    #[inline(always)]
    unsafe fn split(self) -> (Self, Self) {
        // SAFETY: AVX2.
        unsafe {
            let bits = _mm256_castps_si256(self.0);
            let exponent =
                _mm256_srli_epi32::<23>(_mm256_sub_epi32(bits, _mm256_set1_epi32(0x3f35_04f3)));
            let mantissa = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(exponent));
            (Self(_mm256_cvtepi32_ps(exponent)), Self(_mm256_castsi256_ps(mantissa)))
        }
    }
    #[inline(always)]
    unsafe fn where_equal(self, other: Self, yes: Self, no: Self) -> Self {
        // SAFETY: AVX2.
        unsafe { Self(_mm256_blendv_ps(no.0, yes.0, _mm256_cmp_ps::<_CMP_EQ_OQ>(self.0, other.0))) }
    }
    #[inline(always)]
    unsafe fn add_to(self, to: *mut f64) {
        // SAFETY: AVX2; the caller vouches for eight doubles.
        unsafe {
            let low = _mm256_cvtps_pd(_mm256_castps256_ps128(self.0));
            let high = _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(self.0));
            _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), low));
            _mm256_storeu_pd(to.add(4), _mm256_add_pd(_mm256_loadu_pd(to.add(4)), high));
        }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: AVX2.
        unsafe {
            let half =
                _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
        }
    }
}

// SAFETY: used only by kernels compiled for AVX2 and FMA and called where both are available.
unsafe impl Vector for F64x4 {
    common!(
        F64x4,
        f64,
        4,
        3,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_add_pd,
        _mm256_sub_pd,
        _mm256_mul_pd,
        _mm256_div_pd,
        _mm256_fmadd_pd,
        _mm256_max_pd
    );
    #[inline(always)]
    unsafe fn nearest(self) -> Self {
        // SAFETY: AVX2.
        Self(unsafe {
            _mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)
        })
    }
    #[inline(always)]
    unsafe fn pow2(self) -> Self {
        // SAFETY: AVX2.
        unsafe {
            let power = _mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(self.0));
            let biased = _mm256_add_epi64(power, _mm256_set1_epi64x(1023));
            Self(_mm256_castsi256_pd(_mm256_slli_epi64::<52>(biased)))
        }
    }
    #[inline(always)]
    unsafe fn split(self) -> (Self, Self) {
        // A whole number below 2^52 becomes a double by or-ing it into the bits of 2^52.
        const SHIFT: f64 = 4_503_599_627_370_496.0;
        // SAFETY: AVX2.
        unsafe {
            let bits = _mm256_castpd_si256(self.0);
            let half = _mm256_set1_epi64x(0x3fe6_a09e_667f_3bcd);
            let exponent = _mm256_srli_epi64::<52>(_mm256_sub_epi64(bits, half));
            let mantissa = _mm256_sub_epi64(bits, _mm256_slli_epi64::<52>(exponent));
            let shift = _mm256_set1_pd(SHIFT);
            let raised = _mm256_or_si256(exponent, _mm256_castpd_si256(shift));
            let value = _mm256_sub_pd(_mm256_castsi256_pd(raised), shift);
            (Self(value), Self(_mm256_castsi256_pd(mantissa)))
        }
    }
    #[inline(always)]
    unsafe fn where_equal(self, other: Self, yes: Self, no: Self) -> Self {
        // SAFETY: AVX2.
        unsafe { Self(_mm256_blendv_pd(no.0, yes.0, _mm256_cmp_pd::<_CMP_EQ_OQ>(self.0, other.0))) }
    }
    #[inline(always)]
    unsafe fn add_to(self, to: *mut f64) {
        // SAFETY: AVX2; the caller vouches for four doubles.
        unsafe { _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), self.0)) }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f64 {
        // SAFETY: AVX2.
        unsafe {
            let half =
                _mm_add_pd(_mm256_castpd256_pd128(self.0), _mm256_extractf128_pd::<1>(self.0));
            _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)))
        }
    }
}

// SAFETY: used only by kernels compiled for AVX-512 F, BW, DQ and VL and called where they are available.
unsafe impl Vector for F32x16 {
    common!(
        F32x16,
        f32,
        16,
        6,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_div_ps,
        _mm512_fmadd_ps,
        _mm512_max_ps
    );
    #[inline(always)]
    unsafe fn nearest(self) -> Self {
        // SAFETY: AVX-512.
        Self(unsafe { _mm512_roundscale_ps::<0>(self.0) })
    }
    #[inline(always)]
    unsafe fn pow2(self) -> Self {
        // SAFETY: AVX-512.
        Self(unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), self.0) })
    }
    #[inline(always)]
    unsafe fn split(self) -> (Self, Self) {
        // SAFETY: AVX-512.
        unsafe {
            let bits = _mm512_castps_si512(self.0);
            let exponent =
                _mm512_srli_epi32::<23>(_mm512_sub_epi32(bits, _mm512_set1_epi32(0x3f35_04f3)));
            let mantissa = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(exponent));
            (Self(_mm512_cvtepi32_ps(exponent)), Self(_mm512_castsi512_ps(mantissa)))
        }
    }
    #[inline(always)]
    unsafe fn where_equal(self, other: Self, yes: Self, no: Self) -> Self {
        // SAFETY: AVX-512.
        unsafe {
            let equal = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, other.0);
            Self(_mm512_mask_blend_ps(equal, no.0, yes.0))
        }
    }
    #[inline(always)]
    unsafe fn add_to(self, to: *mut f64) {
        // SAFETY: AVX-512; the caller vouches for sixteen doubles.
        unsafe {
            let low = _mm512_cvtps_pd(_mm512_castps512_ps256(self.0));
            let high = _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(self.0));
            _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), low));
            _mm512_storeu_pd(to.add(8), _mm512_add_pd(_mm512_loadu_pd(to.add(8)), high));
        }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: AVX-512.
        unsafe { _mm512_reduce_add_ps(self.0) }
    }
    #[inline(always)]
    unsafe fn store_sums(vectors: [Self; 4], start: [f32; 4], to: *mut f32) {
        // SAFETY: AVX-512; the caller vouches for four floats.
        unsafe {
            let mut quarters = [_mm_setzero_ps(); 4];
            for i in 0..4 {
                let v = vectors[i].0;
                let high = _mm512_extractf32x8_ps::<1>(v);
                let half = _mm256_add_ps(_mm512_castps512_ps256(v), high);
                let high = _mm256_extractf128_ps::<1>(half);
                quarters[i] = _mm_add_ps(_mm256_castps256_ps128(half), high);
            }
            let [a, b, c, d] = quarters;
            let sums = _mm_hadd_ps(_mm_hadd_ps(a, b), _mm_hadd_ps(c, d));
            _mm_storeu_ps(to, _mm_add_ps(sums, _mm_loadu_ps(start.as_ptr())));
        }
    }
}

// SAFETY: used only by kernels compiled for AVX-512 F, BW, DQ and VL and called where they are available.
unsafe impl Vector for F64x8 {
    common!(
        F64x8,
        f64,
        8,
        6,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_add_pd,
        _mm512_sub_pd,
        _mm512_mul_pd,
        _mm512_div_pd,
        _mm512_fmadd_pd,
        _mm512_max_pd
    );
    #[inline(always)]
    unsafe fn nearest(self) -> Self {
        // SAFETY: AVX-512.
        Self(unsafe { _mm512_roundscale_pd::<0>(self.0) })
    }
    #[inline(always)]
    unsafe fn pow2(self) -> Self {
        // SAFETY: AVX-512.
        Self(unsafe { _mm512_scalef_pd(_mm512_set1_pd(1.0), self.0) })
    }
    #[inline(always)]
    unsafe fn split(self) -> (Self, Self) {
        // SAFETY: AVX-512.
        unsafe {
            let bits = _mm512_castpd_si512(self.0);
            let half = _mm512_set1_epi64(0x3fe6_a09e_667f_3bcd);
            let exponent = _mm512_srli_epi64::<52>(_mm512_sub_epi64(bits, half));
            let mantissa = _mm512_sub_epi64(bits, _mm512_slli_epi64::<52>(exponent));
            (Self(_mm512_cvtepi64_pd(exponent)), Self(_mm512_castsi512_pd(mantissa)))
        }
    }
    #[inline(always)]
    unsafe fn where_equal(self, other: Self, yes: Self, no: Self) -> Self {
        // SAFETY: AVX-512.
        unsafe {
            let equal = _mm512_cmp_pd_mask::<_CMP_EQ_OQ>(self.0, other.0);
            Self(_mm512_mask_blend_pd(equal, no.0, yes.0))
        }
    }
    #[inline(always)]
    unsafe fn add_to(self, to: *mut f64) {
        // SAFETY: AVX-512; the caller vouches for eight doubles.
        unsafe { _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), self.0)) }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f64 {
        // SAFETY: AVX-512.
        unsafe { _mm512_reduce_add_pd(self.0) }
    }
    #[inline(always)]
    unsafe fn store_sums(vectors: [Self; 4], start: [f64; 4], to: *mut f64) {
        // SAFETY: AVX-512; the caller vouches for four doubles.
        unsafe {
            let mut halves = [_mm256_setzero_pd(); 4];
            for i in 0..4 {
                let v = vectors[i].0;
                let high = _mm512_extractf64x4_pd::<1>(v);
                halves[i] = _mm256_add_pd(_mm512_castpd512_pd256(v), high);
            }
            let [a, b, c, d] = halves;
            let (left, right) = (_mm256_hadd_pd(a, b), _mm256_hadd_pd(c, d));
            let outer = _mm256_permute2f128_pd::<0x21>(left, right);
            let sums = _mm256_add_pd(outer, _mm256_blend_pd::<0b1100>(left, right));
            _mm256_storeu_pd(to, _mm256_add_pd(sums, _mm256_loadu_pd(start.as_ptr())));
        }
    }
}
