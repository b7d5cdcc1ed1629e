/* fuzz_adapter.c - any bytes as an adapter_config.json, and the modules it then gives a small model. */
#include "lora/peft_config.h"
#include "lora/peft_files.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const kinds[] = {"self_attn.q_proj", "mlp.down_proj"};
    enum { L = 2, N = 2 * L + 1, ALL = N + 2 * L + 2 };
    struct lorac_linear linear[N] = {{.name = ""}};
    struct lorac_match match[ALL];
    float gains[L] = {0};
    struct lorac_model m = {.n_linear = N,
                            .n_modules = ALL,
                            .linear = linear,
                            .norm_attention = gains,
                            .norm_mlp = gains,
                            .norm_final = gains};
    struct lorac_peft_config c;
    struct lorac_err err = {0};
    m.config.L = L;
    m.config.C = 1;
    for (size_t i = 0; i + 1 < N; i++) {
        (void)snprintf(linear[i].name, sizeof linear[i].name, "model.layers.%zu.%s", i / 2,
                       kinds[i % 2]);
    }
    (void)snprintf(linear[N - 1].name, sizeof linear[N - 1].name, "lm_head");
    enum lorac_status st = lorac_peft_config_parse(&c, (const char *)data, size, "F", &err);
    if (!st) {
        size_t n = 0;
        st = lorac_peft_config_match(match, &c, &m, &err);
        for (size_t i = 0; !st && i < N; i++) {
            n += match[i].rank > 0;
            if (match[i].rank > 4096 || (match[i].rank && !(match[i].alpha > 0))) { abort(); }
        }
        bool none = c.options.regex && strcmp(c.options.regex, LORAC_PEFT_NO_TARGETS) == 0;
        if (!st && (n == 0) != none) { abort(); }
        lorac_peft_config_free(&c);
    }
    if (st && !err.text[0]) { abort(); } // a failure always says why
    return 0;
}
