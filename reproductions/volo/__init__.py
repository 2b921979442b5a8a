"""VOLO: vision outlooker, attention whose weights come from the centre pixel alone (Yuan et al., TPAMI 2022)."""
