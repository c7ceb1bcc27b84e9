import java.awt.image.BufferedImage;
