package sandbox

import java.net.InetAddress
import java.nio.file.{Files, Path}
import javax.servlet.{Filter, FilterChain, FilterConfig, ServletRequest, ServletResponse}
import javax.servlet.http.HttpServletResponse

/** Lets this process's user alone see a page of Spark: the kernel tells whose a connection is. */
class OwnUser extends Filter {
  private val user = Files.getAttribute(Path.of("/proc/self"), "unix:uid").toString

  override def init(config: FilterConfig): Unit = ()
  override def destroy(): Unit = ()

  override def doFilter(request: ServletRequest, answer: ServletResponse, chain: FilterChain): Unit =
    if (isOurs(InetAddress.getByName(request.getRemoteAddr), request.getRemotePort))
      chain.doFilter(request, answer)
    else
      answer
        .asInstanceOf[HttpServletResponse]
        .sendError(HttpServletResponse.SC_FORBIDDEN, "this page is another user's of this machine")

  private def isOurs(address: InetAddress, port: Int): Boolean = {
    val place = address.getAddress.reverse.map(byte => f"$byte%02X").mkString + f":$port%04X"
    // To different destinations, different users may connect from one port.
    val owners = Seq("tcp" -> place, "tcp6" -> s"0000000000000000FFFF0000$place").flatMap {
      case (table, wanted) =>
        Files.readString(Path.of("/proc/net", table)).linesIterator.drop(1).map(_.trim.split("\\s+")).collect {
          // A socket that its process has closed has no inode any more, and root for its user.
          case fields if fields(1) == wanted && fields(9) != "0" => fields(7)
        }
    }
    owners.nonEmpty && owners.forall(_ == user)
  }
}
