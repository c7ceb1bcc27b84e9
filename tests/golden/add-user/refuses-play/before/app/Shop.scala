import play.api.mvc._
class Shop
