/* fuzz_config.c - any bytes as a config.json: refused with a reason, or sizes that a model can
 * have. */
#include "base/config_json.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct lorac_config *c)
{
    enum { WIDTH = 1 << 20, VOCAB = 1 << 24 };
    bool sizes = c->C >= 1 && c->C <= WIDTH && c->F >= 1 && c->F <= WIDTH && c->V >= 1 &&
                 c->V <= VOCAB && c->L >= 1 && c->L <= LORAC_MAX_LAYERS;
    bool heads = c->G >= 1 && c->H % c->G == 0 && c->D >= 2 && c->D % 2 == 0 && c->H <= 4096;
    if (!sizes || !heads || c->max_positions < 1) { abort(); }
    if (!(c->eps > 0.0 && c->theta > 1.0 && c->factor >= 1.0)) { abort(); }
    for (size_t l = 0; l < c->L; l++) {
        if (c->sliding[l] && !c->window) { abort(); }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lorac_json root = {0};
    struct lorac_config c;
    struct lorac_err err = {0};
    enum lorac_status st = lorac_json_parse(&root, (const char *)data, size, "config.json", &err);
    if (!st) { st = lorac_config_read(&c, &root, &err); }
    if (st && !err.text[0]) { abort(); } // a failure always says why
    if (!st) {
        struct lorac_buf text = {0};
        float table[2 * 1024];
        check(&c);
        lorac_config_text(&text, &c);
        if (c.D <= 1024) { lorac_rope_table(table, &c, 2, false); }
        lorac_buf_free(&text);
    }
    lorac_json_free(&root);
    return 0;
}
