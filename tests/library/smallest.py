"""The smallest model of every paper, and the smallest input that it takes."""

CLASSIFIERS = {
    "attnet_xxs": 64,
    "convit_tiny": 224,
    "davit_tiny": 64,
    "dhvt_tiny_cifar_patch4": 32,
    "dinat_mini": 64,
    "evit_deit_small_k0.7_fused": 224,
    "focalnet_tiny_srf": 64,
    "halonet_h0": 256,
    "tiny_moat_0": 64,
    "ninformer_cifar10": 32,
    "overlock_xt": 64,
    "rmt_t": 64,
    "spartan_t": 64,
    "ptnt_ti_patch16_192": 192,
    "van_b0": 64,
    "volo_d1": 224,
    "vitaev2_vsa_s": 224,
}
"""The side of the input of the classifiers, by name."""

WITHOUT_MAPS = ("convit", "dhvt", "evit", "ninformer", "ptnt", "volo")
BACKBONES = {name: side for name, side in CLASSIFIERS.items() if not name.startswith(WITHOUT_MAPS)}

OTHERS = (
    *("ablation_attention_daf", "anet_assumed", "atoken_small_golden", "atr_small", "drct_srx2", "ep_d768"),
    *("sasrec_ml1m", "segvit_vit_b_512_base", "vgg16_largefov", "vmunet_isic"),
)
"""Models for other tasks."""
