/* fingerprint.c - which tokenizer is it? See tokenizer.h. */
#include "base/core/sha256.h"
#include "base/tokenizer/tokenizer.h"

#include <string.h>

/* What tokenizers differ in: words of several languages, case, numbers, signs, white space,
 * scripts. */
static const char *const samples[] = {
    "The quick brown fox jumps over the lazy dog. Don't stop: 1234567.89 at 10:45, 50% "
    "off!\n\nNext.",
    "Quel vituperabile xenofobo zelante assaggia il whisky ed esclama: \"alleluja\"; perché no?",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Voilà, ça y est.",
    "for (int i = 0; i < n; i++) {\n\tprintf(\"%d\\n\", x[i] += 0x1F & ~mask);\n}\n",
    "Съешь ещё этих мягких булок. 我能吞下玻璃而不伤身体。 مرحبا بالعالم  नमस्ते 🙂👍🏽 "
    "e\xCC\x81",
    "    indented,   spaced  \r\n<s> </s> <|endoftext|> [INST] internationalization UPPERCASE "
    "lowerCase",
};

static void add_number(struct lorac_sha256 *s, uint32_t x)
{
    unsigned char bytes[4];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(x >> (8 * i));
    }
    lorac_sha256_add(s, bytes, sizeof bytes);
}

enum lorac_status lorac_tokenizer_fingerprint(char out[LORAC_TOKENIZER_FINGERPRINT],
                                              const struct lorac_tokenizer *t,
                                              struct lorac_err *err)
{
    struct lorac_ids ids = {0};
    struct lorac_sha256 s;
    char hex[65];
    enum lorac_status st = LORAC_OK;
    lorac_sha256_init(&s);
    add_number(&s, (uint32_t)lorac_tokenizer_size(t));
    for (size_t k = 0; k < sizeof samples / sizeof *samples && !st; k++) {
        struct lorac_err unknown = {0};
        struct lorac_text text = {samples[k], strlen(samples[k]), true};
        ids.n = 0;
        st = lorac_encode(&ids, t, &text, 1, LORAC_ENCODE_BEGINS | LORAC_ENCODE_ENDS, &unknown);
        if (st == LORAC_EUSER) { // it has no token for a character: that is a mark, too
            st = LORAC_OK;
            add_number(&s, UINT32_MAX);
        } else if (st && err) {
            *err = unknown;
        }
        add_number(&s, (uint32_t)ids.n);
        for (size_t i = 0; i < ids.n; i++) {
            add_number(&s, (uint32_t)ids.at[i]);
        }
    }
    lorac_sha256_hex(hex, &s);
    memcpy(out, hex, LORAC_TOKENIZER_FINGERPRINT - 1);
    out[LORAC_TOKENIZER_FINGERPRINT - 1] = '\0';
    lorac_ids_free(&ids);
    return st;
}
