/* ref_gate.c - activations and gates, in double; see device.h. */
#include "base/compute/ref.h"

#include <math.h>

/* act(x) and its derivative. */
static double act_value(double x, enum lorac_activation act, double *slope)
{
    static const double root_2_over_pi = 0.79788456080286535588;
    double s = 0.0;
    switch (act) {
    case LORAC_SILU: // x s, s = 1/(1+e^-x): slope = s (1 + x (1-s))
        s = 1.0 / (1.0 + exp(-x));
        *slope = s * (1.0 + x * (1.0 - s));
        return x * s;
    case LORAC_GELU: // x P, P = normal distribution: slope = P + x density(x)
        s = 0.5 * (1.0 + erf(x * 0.70710678118654752440));
        *slope = s + x * exp(-0.5 * x * x) * 0.39894228040143267794;
        return x * s;
    case LORAC_TANH:
        s = tanh(x);
        *slope = 1.0 - s * s;
        return s;
    case LORAC_RELU: // slope at 0 is 0, as PyTorch has it
        *slope = x > 0.0 ? 1.0 : 0.0;
        return x > 0.0 ? x : 0.0;
    case LORAC_GELU_TANH: // x (1+t)/2, t = tanh(z), z = sqrt(2/pi) (x + 0.044715 x^3)
        s = tanh(root_2_over_pi * (x + 0.044715 * x * x * x));
        *slope = 0.5 * (1.0 + s) +
                 0.5 * x * (1.0 - s * s) * root_2_over_pi * (1.0 + 3.0 * 0.044715 * x * x);
        return 0.5 * x * (1.0 + s);
    }
    return 0.0;
}

void lorac_ref_gate(struct lorac_device *dev, float *h, const float *gate, const float *up,
                    size_t n, enum lorac_activation act)
{
    (void)dev;
    double slope = 0.0;
    for (size_t i = 0; i < n; i++) {
        h[i] = (float)(act_value((double)gate[i], act, &slope) * (up ? (double)up[i] : 1.0));
    }
}

void lorac_ref_gate_backward(struct lorac_device *dev, float *dgate, float *dup, const float *dh,
                             const float *gate, const float *up, size_t n,
                             enum lorac_activation act)
{
    (void)dev;
    for (size_t i = 0; i < n; i++) {
        double slope = 0.0;
        double value = act_value((double)gate[i], act, &slope);
        double d = (double)dh[i];
        double factor = up ? (double)up[i] : 1.0;
        dgate[i] = (float)(d * factor * slope);
        if (dup) { dup[i] = (float)(d * value); }
    }
}
