"""Image super-resolution: standard sets, the bicubic convention, PSNR and SSIM, and large pictures in tiles."""
