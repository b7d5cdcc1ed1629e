/*
 * Any bytes as a tokenizer.json (up to a zero byte) and a text: the file is refused with a message,
 * or it encodes the text to ids that are tokens, and a stream decodes them as decoding all does.
 */
#include "base/tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds, const char *what)
{
    if (holds) { return; }
    fprintf(stderr, "fuzz_tokenizer: %s\n", what);
    abort();
}

static void decode(const struct lorac_tokenizer *t, const struct lorac_ids *ids, bool skip)
{
    struct lorac_buf whole = {0};
    struct lorac_buf streamed = {0};
    struct lorac_stream s = {0};
    struct lorac_err err = {0};
    enum lorac_status st = lorac_decode(&whole, t, ids->at, ids->n, skip, &err);
    require(!st || err.text[0], "decoding failed without a message");
    for (size_t i = 0; i < ids->n && !st; i++) {
        st = lorac_stream_add(&streamed, &s, t, ids->at[i], skip, &err);
    }
    if (!st) { st = lorac_stream_end(&streamed, &s, t, skip, &err); }
    if (!st) {
        require(whole.n == streamed.n &&
                    (whole.n == 0 || memcmp(whole.at, streamed.at, whole.n) == 0),
                "a stream gives other text");
    }
    lorac_buf_free(&whole);
    lorac_buf_free(&streamed);
    lorac_stream_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char plain[] = "a<s> b\n\xC3\xA9  12 The\xE2\x96\x81x";
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    const size_t n = zero ? (size_t)(zero - data) : size;
    struct lorac_tokenizer *t = NULL;
    struct lorac_err err = {0};
    if (lorac_tokenizer_parse(&t, (const char *)data, n, "input", &err)) {
        require(err.text[0] != '\0' && !t, "refused without a message");
        return 0;
    }
    const struct lorac_text texts[] = {
        {.at = plain, .n = sizeof plain - 1, .special = true},
        {.at = zero ? (const char *)zero + 1 : "", .n = zero ? size - n - 1 : 0, .special = false},
    };
    for (unsigned flags = 0; flags < 8; flags++) {
        struct lorac_ids ids = {0};
        if (lorac_encode(&ids, t, texts, flags & 1 ? 1 : 2, flags, &err)) {
            require(err.text[0] != '\0' && ids.n == 0, "encoding failed without a message");
        }
        for (size_t i = 0; i < ids.n; i++) {
            require(lorac_token_text(t, ids.at[i]) != NULL, "an id is no token");
        }
        decode(t, &ids, flags & 1);
        lorac_ids_free(&ids);
    }
    lorac_tokenizer_free(t);
    return 0;
}
