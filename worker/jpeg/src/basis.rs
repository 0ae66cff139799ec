//! The cosine basis of the inverse transforms, computed at compile time.

/// `basis()[n][u][x]`: sample x of frequency u in the orthonormal basis of n samples, for n of 1 to 8.
pub(crate) const fn basis() -> [[[f32; 8]; 8]; 9] {
    let mut all = [[[0.0; 8]; 8]; 9];
    let mut n = 1;
    while n <= 8 {
        let mut u = 0;
        while u < n {
            let mut x = 0;
            while x < n {
                let length = if u == 0 { root(1.0 / n as f64) } else { root(2.0 / n as f64) };
                all[n][u][x] = (cosine((2 * x + 1) * u, 4 * n) * length) as f32;
                x += 1;
            }
            u += 1;
        }
        n += 1;
    }
    all
}

/// The cosine of `part / whole` turns.
const fn cosine(part: usize, whole: usize) -> f64 {
    // Enough terms of the series for a quarter turn.
    const TERMS: usize = 14;
    let mut turn = (part % whole) as f64 / whole as f64;
    if turn > 0.5 {
        turn = 1.0 - turn;
    }
    let is_negative = turn > 0.25;
    if is_negative {
        turn = 0.5 - turn;
    }
    let angle = turn * 2.0 * core::f64::consts::PI;
    let (mut term, mut sum, mut i) = (1.0, 1.0, 1);
    while i < TERMS {
        term = -term * angle * angle / ((2 * i - 1) * (2 * i)) as f64;
        sum += term;
        i += 1;
    }
    if is_negative { -sum } else { sum }
}

/// The square root, by Newton's method.
const fn root(of: f64) -> f64 {
    const ROUNDS: usize = 40;
    let (mut guess, mut i) = (1.0, 0);
    while i < ROUNDS {
        guess = (guess + of / guess) / 2.0;
        i += 1;
    }
    guess
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_basis_is_that_of_the_library() {
        for (n, of_size) in basis().iter().enumerate().skip(1) {
            for (u, x) in (0..n).flat_map(|u| (0..n).map(move |x| (u, x))) {
                let angle = (2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / (2 * n) as f64;
                let length = if u == 0 { 1.0 / n as f64 } else { 2.0 / n as f64 }.sqrt();
                let difference = f64::from(of_size[u][x]) - angle.cos() * length;
                assert!(difference.abs() < 1e-7, "{n} {u} {x}");
            }
        }
    }
}
