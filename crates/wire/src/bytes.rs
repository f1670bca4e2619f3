//! Fields at fixed offsets of fixed-size arrays. The offset is a const parameter and is checked against
//! the array when this compiles, so no header access can be out of bounds when it runs.

/// The `LEN` bytes at offset `AT`.
#[inline(always)]
pub(crate) fn get<const AT: usize, const LEN: usize, const N: usize>(from: &[u8; N]) -> [u8; LEN] {
    const { assert!(AT + LEN <= N, "field lies outside its header") };
    let mut field = [0; LEN];
    field.copy_from_slice(&from[AT..AT + LEN]);
    field
}

/// Writes `field` at offset `AT`.
#[inline(always)]
pub(crate) fn put<const AT: usize, const LEN: usize, const N: usize>(to: &mut [u8; N], field: [u8; LEN]) {
    const { assert!(AT + LEN <= N, "field lies outside its header") };
    to[AT..AT + LEN].copy_from_slice(&field);
}

/// The big-endian 16-bit field at offset `AT`.
#[inline(always)]
pub(crate) fn get_u16<const AT: usize, const N: usize>(from: &[u8; N]) -> u16 {
    u16::from_be_bytes(get::<AT, 2, N>(from))
}

/// The big-endian 32-bit field at offset `AT`.
#[inline(always)]
pub(crate) fn get_u32<const AT: usize, const N: usize>(from: &[u8; N]) -> u32 {
    u32::from_be_bytes(get::<AT, 4, N>(from))
}

/// Writes a big-endian 16-bit field at offset `AT`.
#[inline(always)]
pub(crate) fn put_u16<const AT: usize, const N: usize>(to: &mut [u8; N], value: u16) {
    put::<AT, 2, N>(to, value.to_be_bytes());
}

/// Writes a big-endian 32-bit field at offset `AT`.
#[inline(always)]
pub(crate) fn put_u32<const AT: usize, const N: usize>(to: &mut [u8; N], value: u32) {
    put::<AT, 4, N>(to, value.to_be_bytes());
}

/// Writes `field` at the start of `out` and returns what follows it. Callers have cut `out` to the length of
/// all they will write; where that were not so, nothing would be written.
#[inline(always)]
pub(crate) fn put_next<const LEN: usize>(out: &mut [u8], field: [u8; LEN]) -> &mut [u8] {
    match out.split_first_chunk_mut::<LEN>() {
        Some((head, rest)) => {
            *head = field;
            rest
        }
        None => &mut [],
    }
}
