// Draws of questions with replacement, the same as those of hedgespec/results/statistics.py: how
// often each is drawn is NumPy's multinomial distribution from its generator PCG64.

const LIMB = 65536, LIMBS = 8; // a number of 128 bits is eight of 16, the lowest first
const MULTIPLIER = Float64Array.from(limbs("2360ed051fc65da44385df649fccf645"));

function limbs(hexadecimal) {
  return Array.from({ length: LIMBS }, (_, i) =>
    parseInt(hexadecimal.slice(4 * (LIMBS - 1 - i), 4 * (LIMBS - i)), 16));
}

// Numbers from 0 to 1: PCG64, XSL-RR 128/64 (O'Neill 2014), and its upper 53 bits.
function uniforms(state, increment) {
  const now = Float64Array.from(limbs(state)), next = new Float64Array(LIMBS);
  const step = limbs(increment), mixed = new Int32Array(4);
  return () => {
    let carry = 0;
    for (let i = 0; i < LIMBS; i += 1) {
      let sum = step[i] + carry;
      for (let j = 0; j <= i; j += 1) sum += now[j] * MULTIPLIER[i - j];
      carry = Math.floor(sum / LIMB);
      next[i] = sum - carry * LIMB;
    }
    now.set(next);
    const turn = now[7] >> 10, whole = turn >> 4, part = turn & 15;
    for (let i = 0; i < 4; i += 1) mixed[i] = now[i] ^ now[i + 4];
    const at = i => (mixed[(i + whole) & 3] | mixed[(i + whole + 1) & 3] << 16) >>> part & 65535;
    return (at(3) * 2 ** 37 + at(2) * 2 ** 21 + at(1) * 32 + (at(0) >> 11)) / 2 ** 53;
  };
}

// One of a binomial distribution, by inversion, as NumPy draws it where count * chance is small.
function binomial(uniform, count, chance) {
  if (chance > 0.5) return count - binomial(uniform, count, 1 - chance);
  const other = 1 - chance, none = Math.exp(count * Math.log(other)), mean = count * chance;
  const bound = Math.min(count, Math.trunc(mean + 10 * Math.sqrt(mean * other + 1)));
  let found = 0, share = none, left = uniform();
  while (left > share) {
    found += 1;
    if (found > bound) {
      found = 0;
      share = none;
      left = uniform();
    } else {
      left -= share;
      share *= (count - found + 1) * chance / (found * other);
    }
  }
  return found;
}

// How often each of `count` questions is drawn: of each of the blocks a row per draw.
function timesDrawn(count, blocks) {
  const rows = [];
  for (const { draws, state, increment } of blocks) {
    const uniform = uniforms(state, increment);
    for (let draw = 0; draw < draws; draw += 1) {
      const row = new Uint8Array(count);
      let left = count, rest = 1;
      for (let i = 0; i < count - 1 && left; i += 1) {
        row[i] = binomial(uniform, left, 1 / count / rest);
        left -= row[i];
        rest -= 1 / count;
      }
      row[count - 1] += left;
      rows.push(row);
    }
  }
  return rows;
}

// The value between ordered ones below which a share of them lies.
function quantile(ordered, share) {
  const place = share * (ordered.length - 1), below = Math.floor(place), part = place - below;
  const low = ordered[below], high = ordered[Math.ceil(place)];
  return part < 0.5 ? low + (high - low) * part : high - (high - low) * (1 - part);
}
