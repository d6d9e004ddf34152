/* Included by cell.c for networks of subwords: a text is cut into pieces, and in each of them pairs of tokens are merged.
 *
 * What follows the first token of a piece is cut and merged as it was within the whole piece, so no state is kept. */

enum { SPACE, DIGIT, LETTER, OTHER, END };

static int kind_of(const char *text) {
    const unsigned char c = *(const unsigned char *)text;
    if (!c) return END;
    if (c == ' ' || (c >= 9 && c <= 13)) return SPACE;
    if (c >= '0' && c <= '9') return DIGIT;
    return c >= 128 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? LETTER : OTHER;
}

/* The bytes of the piece at text: a run of one kind with a space before it, or white space but for such a space. */
static int piece_of(const char *text) {
    int size = text[0] == ' ' && kind_of(text + 1) != SPACE && kind_of(text + 1) != END, kind = kind_of(text + size);
    while (size < CELL_LONGEST && kind != END && kind_of(text + size) == kind) size++;
    const int before_a_word = kind == SPACE && size > 1 && text[size - 1] == ' ' && kind_of(text + size) != END;
    return size - before_a_word;
}

/* The token that a pair is merged into; INT32_MAX if there is none. */
static int32_t merge_of(int32_t one, int32_t two) {
    int low = 0, high = CELL_MERGES;
    while (low < high) {
        const int middle = (low + high) / 2;
        const int32_t *row = cell_merges[middle];
        if (row[0] < one || (row[0] == one && row[1] < two)) low = middle + 1;
        else high = middle;
    }
    return low < CELL_MERGES && cell_merges[low][0] == one && cell_merges[low][1] == two ? cell_merges[low][2] : INT32_MAX;
}

static int subword(const char *text, int *length) {
    int32_t ids[CELL_LONGEST];
    int count = piece_of(text);
    for (int i = 0; i < count; i++) ids[i] = (unsigned char)text[i];
    for (;;) {
        int32_t best = INT32_MAX;
        for (int i = 0; i + 1 < count; i++) {
            const int32_t merged = merge_of(ids[i], ids[i + 1]);
            if (merged < best) best = merged;
        }
        if (best == INT32_MAX) break;
        int kept = 0;
        for (int i = 0; i < count; kept++) {
            const int joins = i + 1 < count && merge_of(ids[i], ids[i + 1]) == best;
            ids[kept] = joins ? best : ids[i];
            i += 1 + joins;
        }
        count = kept;
    }
    if (!count) return *length = 0, CELL_UNKNOWN;
    *length = cell_symbol_lengths[ids[0]];
    return ids[0];
}
