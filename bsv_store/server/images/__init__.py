"""Routes ``/v1/images``: slices, outlines and other views of voxels, in bounded memory."""
