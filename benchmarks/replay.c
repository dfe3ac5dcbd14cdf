/* The replay loops of hedge, normalhedge and ucbspec written by hand: what C makes of the same
   algorithm on the same random numbers. Compiled and compared by simulator.py. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Settings are read, as the compiled selectors read theirs. */
double delta = 0.5;

static const uint64_t GOLDEN = 0x9E3779B97F4A7C15ull;

static inline uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

static inline uint64_t query_key(uint64_t seed, uint64_t query) {
    return mix(mix(seed + GOLDEN) + query * GOLDEN);
}

static inline double uniform(uint64_t key, uint64_t position, uint64_t stream) {
    return (double)(mix(key + (2 * position + stream + 1) * GOLDEN) >> 11) / 9007199254740992.0;
}

static inline int draw(const double *weights, int arms, double u) {
    double total = 0.0;
    int last = 0;
    for (int arm = 0; arm < arms; arm++)
        if (weights[arm] > 0.0) {
            total += weights[arm];
            last = arm;
            if (u < total) return arm;
        }
    return last;
}

/* Tokens of a round of prefix-only drafters; accept is (T, N). */
static inline int64_t emitted_tokens(const float *accept, int arms, int arm, int64_t begin,
                                     int64_t start, int64_t end, int64_t length, uint64_t key) {
    int64_t longest = length < end - start ? length : end - start;
    for (int64_t step = 0; step < longest; step++)
        if (!(uniform(key, start + step - begin, 0) < accept[(start + step) * arms + arm]))
            return step + 1;
    return longest + 1 < end - start ? longest + 1 : end - start;
}

static void softmin(const double *loss, int arms, double eta, double *weights) {
    double least = loss[0], total = 0.0;
    for (int arm = 1; arm < arms; arm++)
        if (loss[arm] < least) least = loss[arm];
    for (int arm = 0; arm < arms; arm++) total += weights[arm] = exp(-eta * (loss[arm] - least));
    for (int arm = 0; arm < arms; arm++) weights[arm] /= total;
}

void hedge(int64_t queries, const int64_t *offsets, const float *accept, const double *loss,
           int arms, int64_t length, uint64_t seed, int16_t *choice) {
    double *sum = malloc(arms * sizeof *sum), *weights = malloc(arms * sizeof *weights);
    for (int64_t query = 0; query < queries; query++) {
        int64_t begin = offsets[query], end = offsets[query + 1], start = begin, fed = begin;
        uint64_t key = query_key(seed, query);
        memset(sum, 0, arms * sizeof *sum);
        int fresh = 0;
        while (start < end) {
            for (; fed + length <= start; fed++, fresh = 0)
                for (int arm = 0; arm < arms; arm++) sum[arm] += loss[fed * arms + arm];
            if (!fresh) softmin(sum, arms, sqrt(8.0 * log(arms) / (fed - begin + 1)), weights);
            fresh = 1;
            int arm = draw(weights, arms, uniform(key, start - begin, 1));
            choice[start] = arm;
            start += emitted_tokens(accept, arms, arm, begin, start, end, length, key);
        }
    }
    free(sum);
    free(weights);
}

static void normalhedge_play(const double *regret, int arms, double seen, double *root,
                             double *weights) {
    double largest = regret[0], target = 1.0 + log(arms), z = *root, norm = 0.0;
    for (int arm = 1; arm < arms; arm++)
        if (regret[arm] > largest) largest = regret[arm];
    if (largest <= 1e-12 * (1.0 + seen)) {
        for (int arm = 0; arm < arms; arm++) weights[arm] = 1.0 / arms;
        return;
    }
    if (!(1.0 <= z && z <= target)) z = target;
    for (int step = 0; step < 50; step++) {
        double total = 0.0, slope = 0.0;
        for (int arm = 0; arm < arms; arm++) {
            double ratio = (regret[arm] > 0.0 ? regret[arm] : 0.0) / largest;
            double term = exp(z * ratio * ratio);
            weights[arm] = ratio * term;
            total += term;
            slope += ratio * ratio * term;
        }
        double change = (log(total) - target) * total / slope;
        z = z - change < 1.0 ? 1.0 : z - change > target ? target : z - change;
        if (fabs(change) <= 1e-13 * z) break;
    }
    *root = z;
    for (int arm = 0; arm < arms; arm++) norm += weights[arm];
    for (int arm = 0; arm < arms; arm++) weights[arm] /= norm;
}

void normalhedge(int64_t queries, const int64_t *offsets, const float *accept, const double *loss,
                 int arms, int64_t length, uint64_t seed, int16_t *choice) {
    double *regret = malloc(arms * sizeof *regret), *weights = malloc(arms * sizeof *weights);
    for (int64_t query = 0; query < queries; query++) {
        int64_t begin = offsets[query], end = offsets[query + 1], start = begin, fed = begin;
        uint64_t key = query_key(seed, query);
        double root = 0.0;
        memset(regret, 0, arms * sizeof *regret);
        int fresh = 0;
        while (start < end) {
            for (; fed + length <= start; fed++, fresh = 0) {
                if (!fresh) normalhedge_play(regret, arms, fed - begin, &root, weights);
                double own = 0.0;
                for (int arm = 0; arm < arms; arm++) own += weights[arm] * loss[fed * arms + arm];
                for (int arm = 0; arm < arms; arm++) regret[arm] += own - loss[fed * arms + arm];
            }
            if (!fresh) normalhedge_play(regret, arms, fed - begin, &root, weights);
            fresh = 1;
            int arm = draw(weights, arms, uniform(key, start - begin, 1));
            choice[start] = arm;
            start += emitted_tokens(accept, arms, arm, begin, start, end, length, key);
        }
    }
    free(regret);
    free(weights);
}

void ucbspec(int64_t queries, const int64_t *offsets, const float *accept, const double *loss,
             int arms, int64_t length, uint64_t seed, int16_t *choice) {
    double *count = malloc(arms * sizeof *count), *sum = malloc(arms * sizeof *sum);
    for (int64_t query = 0; query < queries; query++) {
        int64_t begin = offsets[query], end = offsets[query + 1], start = begin;
        uint64_t key = query_key(seed, query);
        double rounds = 0.0;
        memset(count, 0, arms * sizeof *count);
        memset(sum, 0, arms * sizeof *sum);
        while (start < end) {
            int best = 0;
            double highest = -INFINITY;
            for (int arm = 0; arm < arms; arm++) {
                double n = count[arm], bound = INFINITY;
                if (n > 0.0) {
                    double log_term = log(arms * rounds * rounds * sqrt(1.0 + n) / delta);
                    bound = sum[arm] / n + (length / 2.0) * sqrt(
                        (1.0 + n) / (n * n) * (1.0 + 2.0 * log_term));
                }
                if (bound > highest) {
                    highest = bound;
                    best = arm;
                }
            }
            choice[start] = best;
            int64_t emitted = emitted_tokens(accept, arms, best, begin, start, end, length, key);
            rounds += 1.0;
            count[best] += 1.0;
            sum[best] += emitted;
            start += emitted;
        }
    }
    free(count);
    free(sum);
}
