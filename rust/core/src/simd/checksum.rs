//! XXH3-128 of bytes while they are copied: one pass over the memory instead of two.
//!
//! The numbers and steps are those of the XXH3 specification for inputs of more than 240 bytes;
//! the test compares every length with the `xxhash-rust` crate, which also computes the rest.

use xxhash_rust::xxh3::xxh3_128_with_seed;

#[cfg(target_arch = "x86_64")]
use super::Isa;

/// How the bytes of a copy are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// Through the processor's caches, where whoever reads them soon finds them.
    Cached,
    /// Past the caches, for copies that are larger: memory is then written without being read
    /// first. [`end_streams`] comes before another thread reads them.
    Streamed,
}

/// Makes streamed stores of this thread visible to others.
pub fn end_streams() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture has the instruction.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// Copies `into.len()` bytes from `from` and returns the XXH3-128 of the copy. As many bytes from
/// `next` on, any address, are brought into the processor's cache on the way.
///
/// # Safety
/// `into.len()` bytes from `from` on can be read, and none of them belongs to `into`. They may
/// change meanwhile: each is read once, and what was read is both stored and hashed.
pub unsafe fn copy_checksum(
    from: *const u8,
    into: &mut [u8],
    seed: u64,
    next: *const u8,
    stores: Stores,
) -> u128 {
    #[cfg(target_arch = "x86_64")]
    if into.len() > x86::SHORT && Isa::current().is_ok_and(|isa| isa >= Isa::Avx2) {
        let aligned = into.as_ptr().addr().is_multiple_of(x86::STREAM_ALIGNMENT);
        // SAFETY: the instructions are there, the input is long enough, streamed stores are
        // aligned; the rest is the caller's.
        return unsafe {
            match stores {
                Stores::Streamed if aligned => x86::copy_checksum::<true>(from, into, seed, next),
                _ => x86::copy_checksum::<false>(from, into, seed, next),
            }
        };
    }
    let _ = (next, stores);
    // SAFETY: the caller's contract.
    unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
    xxh3_128_with_seed(into, seed)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use xxhash_rust::const_xxh3::const_custom_default_secret;

    /// Inputs up to this length are hashed in another way.
    pub const SHORT: usize = 240;
    /// What streamed stores begin at a multiple of: as memory from an allocator does.
    pub const STREAM_ALIGNMENT: usize = 16;
    const STRIPE: usize = 64;
    const STRIPES_PER_BLOCK: usize = 16;
    const SECRET: usize = 192;
    const PRIME32: [u64; 3] = [0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D];
    const PRIME64: [u64; 5] = [
        0x9E37_79B1_85EB_CA87,
        0xC2B2_AE3D_27D4_EB4F,
        0x1656_67B1_9E37_79F9,
        0x85EB_CA77_C2B2_AE63,
        0x27D4_EB2F_1656_67C5,
    ];
    const START: [u64; 8] = [
        PRIME32[2], PRIME64[0], PRIME64[1], PRIME64[2], PRIME64[3], PRIME32[1], PRIME64[4],
        PRIME32[0],
    ];

    /// Eight running sums of 64 bits.
    type Lanes = [__m256i; 2];

    /// # Safety
    /// As `super::copy_checksum`; AVX2 is there, `into` holds more than [`SHORT`] bytes and begins at
    /// a multiple of [`STREAM_ALIGNMENT`] if its bytes are streamed.
    #[target_feature(enable = "avx2")]
    pub unsafe fn copy_checksum<const STREAM: bool>(
        from: *const u8,
        into: &mut [u8],
        seed: u64,
        next: *const u8,
    ) -> u128 {
        let secret = const_custom_default_secret(seed);
        let length = into.len();
        let stripes = (length - 1) / STRIPE;
        let mut sums = load_lanes(bytemuck::cast_slice(&START));
        for stripe in 0..stripes {
            let place = &mut into[stripe * STRIPE..][..STRIPE];
            _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(stripe * STRIPE).cast());
            // SAFETY: the stripe ends before `length`, and stripes keep the alignment.
            let data = unsafe { copy_stripe::<STREAM>(from.add(stripe * STRIPE), place) };
            let turn = stripe % STRIPES_PER_BLOCK;
            sums = accumulate(sums, data, load_lanes(&secret[8 * turn..]));
            if turn == STRIPES_PER_BLOCK - 1 {
                let [left, right] = load_lanes(&secret[SECRET - STRIPE..]);
                sums = [scramble(sums[0], left), scramble(sums[1], right)];
            }
        }
        // The last stripe may overlap the one before. Its first bytes come from the copy: read
        // again, they might differ.
        let done = stripes * STRIPE;
        // SAFETY: `done < length`, so the rest lies inside both; alignment as above.
        let data = unsafe {
            let (from, rest) = (from.add(done), &mut into[done..]);
            if rest.len() == STRIPE {
                copy_stripe::<STREAM>(from, rest)
            } else {
                std::ptr::copy_nonoverlapping(from, rest.as_mut_ptr(), rest.len());
                load_lanes(&into[length - STRIPE..])
            }
        };
        sums = accumulate(sums, data, load_lanes(&secret[SECRET - STRIPE - 7..]));
        let low = merge(sums, &secret[11..], (length as u64).wrapping_mul(PRIME64[0]));
        let start = !(length as u64).wrapping_mul(PRIME64[1]);
        let high = merge(sums, &secret[SECRET - STRIPE - 11..], start);
        u128::from(high) << 64 | u128::from(low)
    }

    /// # Safety
    /// 64 bytes from `from` on can be read; `into` is aligned if they are streamed.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn copy_stripe<const STREAM: bool>(from: *const u8, into: &mut [u8]) -> Lanes {
        let into: *mut __m256i = into[..STRIPE].as_mut_ptr().cast();
        // SAFETY: the caller's contract, and the length that was just checked.
        unsafe {
            let data = [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())];
            if STREAM {
                let into: *mut __m128i = into.cast();
                _mm_stream_si128(into, _mm256_castsi256_si128(data[0]));
                _mm_stream_si128(into.add(1), _mm256_extracti128_si256::<1>(data[0]));
                _mm_stream_si128(into.add(2), _mm256_castsi256_si128(data[1]));
                _mm_stream_si128(into.add(3), _mm256_extracti128_si256::<1>(data[1]));
            } else {
                _mm256_storeu_si256(into, data[0]);
                _mm256_storeu_si256(into.add(1), data[1]);
            }
            data
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_lanes(bytes: &[u8]) -> Lanes {
        let bytes = &bytes[..STRIPE];
        // SAFETY: 64 bytes are there.
        unsafe {
            [
                _mm256_loadu_si256(bytes.as_ptr().cast()),
                _mm256_loadu_si256(bytes.as_ptr().add(32).cast()),
            ]
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn accumulate(sums: Lanes, data: Lanes, secret: Lanes) -> Lanes {
        let [left, right] = sums;
        [add_product(left, data[0], secret[0]), add_product(right, data[1], secret[1])]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add_product(sum: __m256i, data: __m256i, secret: __m256i) -> __m256i {
        let mixed = _mm256_xor_si256(data, secret);
        let product = _mm256_mul_epu32(mixed, _mm256_srli_epi64::<32>(mixed));
        let swapped = _mm256_shuffle_epi32::<0x4E>(data);
        _mm256_add_epi64(sum, _mm256_add_epi64(product, swapped))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn scramble(sum: __m256i, secret: __m256i) -> __m256i {
        let prime = _mm256_set1_epi32(PRIME32[0] as i32);
        let shifted = _mm256_xor_si256(sum, _mm256_srli_epi64::<47>(sum));
        let mixed = _mm256_xor_si256(shifted, secret);
        let low = _mm256_mul_epu32(mixed, prime);
        let high = _mm256_mul_epu32(_mm256_srli_epi64::<32>(mixed), prime);
        _mm256_add_epi64(low, _mm256_slli_epi64::<32>(high))
    }

    #[target_feature(enable = "avx2")]
    fn merge(sums: Lanes, secret: &[u8], start: u64) -> u64 {
        let secret = load_lanes(secret);
        let mixed: [u64; 8] = bytemuck::cast([
            _mm256_xor_si256(sums[0], secret[0]),
            _mm256_xor_si256(sums[1], secret[1]),
        ]);
        let folded = mixed.as_chunks().0.iter().fold(start, |sum, [left, right]| {
            let product = u128::from(*left) * u128::from(*right);
            sum.wrapping_add(product as u64 ^ (product >> 64) as u64)
        });
        let shifted = (folded ^ (folded >> 37)).wrapping_mul(0x1656_6791_9E37_79F9);
        shifted ^ (shifted >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_checksum_of_the_copy_for_every_length_seed_and_store() {
        let from: Vec<u8> = (0..5000u32).map(|at| ((at * at) >> 3) as u8).collect();
        for length in (0..2300).chain([3072, 4096, 4999]) {
            let seed = (length as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for stores in [Stores::Cached, Stores::Streamed] {
                for shift in [0, 1] {
                    let mut room = vec![0u128; length / 16 + 2];
                    let into = &mut bytemuck::cast_slice_mut(&mut room)[shift..shift + length];
                    let (start, next) = (from[1..].as_ptr(), from.as_ptr());
                    // SAFETY: `from` is longer than every `length`.
                    let found = unsafe { copy_checksum(start, into, seed, next, stores) };
                    end_streams();
                    assert_eq!(into, &from[1..=length]);
                    assert_eq!(
                        found,
                        xxh3_128_with_seed(&from[1..=length], seed),
                        "{length} bytes"
                    );
                }
            }
        }
    }
}
