/* Included by cell.c: products in 8 bits, with exact sums in 32. */

/* y[N] = (x[K] - zero) W, K a multiple of 4, N of 16; sums[N] are the sums of the columns of W. */
#if defined(__AVX512VNNI__)
static inline void panel_of_codes(const int8_t *W, const int32_t *sums, const uint8_t *x, int32_t zero, int K, int N,
                                  float *y) {
    const __m512i middle = _mm512_set1_epi32(zero);
    __m512i total[4];
    for (int p = 0; p < N / NARROW; p++) total[p] = _mm512_setzero_si512();
    for (int k = 0; k < K; k += 4, W += 4 * NARROW) {
        int32_t four;
        memcpy(&four, x + k, sizeof four);
        const __m512i codes = _mm512_set1_epi32(four);
        for (int p = 0; p < N / NARROW; p++)
            total[p] = _mm512_dpbusd_epi32(total[p], codes, _mm512_loadu_si512(W + (size_t)p * (size_t)K * NARROW));
    }
    for (int p = 0; p < N / NARROW; p++) {
        const __m512i off = _mm512_mullo_epi32(middle, _mm512_loadu_si512(sums + p * NARROW));
        _mm512_storeu_ps(y + p * NARROW, _mm512_cvtepi32_ps(_mm512_sub_epi32(total[p], off)));
    }
}
#elif defined(__SSE2__)
static inline void panel_of_codes(const int8_t *W, const int32_t *sums, const uint8_t *x, int32_t zero, int K, int N,
                                  float *y) {
    const __m128i none = _mm_setzero_si128();
    for (int n = 0; n < N; n += NARROW) {
        __m128i low[4], high[4];
        int32_t total[2 * NARROW];
        for (int p = 0; p < 4; p++) low[p] = high[p] = none;
        for (int k = 0; k < K; k += 4, W += 4 * NARROW) {
            int32_t four;
            memcpy(&four, x + k, sizeof four);
            const __m128i codes = _mm_unpacklo_epi8(_mm_set1_epi32(four), none); /* eight of 16 bits: the four, twice */
            for (int p = 0; p < 4; p++) { /* four columns, whose bytes are widened with their sign */
                const __m128i w = _mm_loadu_si128((const __m128i *)(const void *)(W + 16 * p));
                const __m128i first = _mm_srai_epi16(_mm_unpacklo_epi8(none, w), 8);
                const __m128i second = _mm_srai_epi16(_mm_unpackhi_epi8(none, w), 8);
                low[p] = _mm_add_epi32(low[p], _mm_madd_epi16(codes, first));
                high[p] = _mm_add_epi32(high[p], _mm_madd_epi16(codes, second));
            }
        }
        for (int p = 0; p < 4; p++) {
            _mm_storeu_si128((__m128i *)(void *)(total + 8 * p), low[p]);
            _mm_storeu_si128((__m128i *)(void *)(total + 8 * p + 4), high[p]);
        }
        for (int j = 0; j < NARROW; j++)
            y[n + j] = (float)(total[2 * j] + total[2 * j + 1] - zero * sums[n + j]);
    }
}
#else
static inline void panel_of_codes(const int8_t *W, const int32_t *sums, const uint8_t *x, int32_t zero, int K, int N,
                                  float *y) {
    for (int n = 0; n < N; n += NARROW) {
        int32_t total[NARROW] = {0};
        for (int k = 0; k < K; k += 4)
            for (int j = 0; j < NARROW; j++, W += 4)
                total[j] += x[k] * W[0] + x[k + 1] * W[1] + x[k + 2] * W[2] + x[k + 3] * W[3];
        for (int j = 0; j < NARROW; j++) y[n + j] = (float)(total[j] - zero * sums[n + j]);
    }
}
#endif

static void product_of_codes(const int8_t *W, const int32_t *sums, const uint8_t *x, int32_t zero, int K, int N,
                             float *y) {
    int n = 0;
    for (; n + WIDE <= N; n += WIDE) panel_of_codes(W + (size_t)n * (size_t)K, sums + n, x, zero, K, WIDE, y + n);
    for (; n < N; n += NARROW) panel_of_codes(W + (size_t)n * (size_t)K, sums + n, x, zero, K, NARROW, y + n);
}

/* codes[j] = x[j] / scale, rounded to the nearest even, + zero, in 0 ... 255; zeros up to a multiple of 4. */
static void quantize(const float *x, int size, float scale, float zero, uint8_t *codes) {
    for (int j = 0; j < size; j++) {
        float shifted = x[j] / scale;
        uint32_t bits;
        shifted = shifted > -zero ? shifted : -zero; /* NaN too */
        shifted = (shifted < 255.0f - zero ? shifted : 255.0f - zero) + 12582912.0f; /* 1.5 * 2^23 rounds */
        shifted += zero;
        memcpy(&bits, &shifted, sizeof bits);
        codes[j] = (uint8_t)(bits & 255u);
    }
    for (int j = size; j % 4; j++) codes[j] = 0;
}

#if CELL_USES_RANGE
/* The scale and zero point with which 0 ... 255 cover the numbers and zero. */
static void range_of(const float *x, int size, float *scale, float *zero) {
    float low = 0, high = 0;
    for (int j = 0; j < size; j++) {
        low = x[j] < low ? x[j] : low;
        high = x[j] > high ? x[j] : high;
    }
    *scale = high > low ? (high - low) / 255.0f : 1.0f;
    *zero = nearbyintf(-low / *scale);
}
#endif
